"""Jobs made in JupyterLab's own forms, as `recbench lab` sets them up."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException

import nbformat
import pytest

from recbench.jobs.manifest import Manifest
from recbench.loopback import free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]
START_S = 90
RUN_S = 180
END_S = 60
CUT_OFF = (urllib.error.URLError, ConnectionError, HTTPException, TimeoutError)
NAME = "tiny.ipynb"
CODE = "print('k is', k, type(k).__name__)\nassert k != 13, 'unlucky'"
READY = """name => {
    const app = window.jupyterapp, widget = app?.shell.currentWidget;
    return widget?.context?.path === name && widget.context.isReady && widget.sessionContext.isReady
        && app.commands.hasCommand('scheduling:create-from-notebook');
}"""
FORM = "() => window.jupyterapp.commands.execute('scheduling:create-from-notebook')"
LIST = """async () => {
    await window.jupyterapp.restored;
    await window.jupyterapp.commands.execute('scheduling:list-jobs-from-launcher');
}"""


class Server:
    """A lab in ``place``; knows its address, and asks its scheduler what it knows."""

    def __init__(self, place):
        port = free_port()
        self.token = secrets.token_hex(16)
        self.address = f"http://127.0.0.1:{port}"
        environment = os.environ | {
            "HOME": str(place),
            "JUPYTER_CONFIG_DIR": str(place / "config"),
            "JUPYTER_DATA_DIR": str(place / "data"),
            "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
            "JUPYTER_TOKEN": self.token,
            "RECBENCH_TRACKING": "off",
        }
        command = "from recbench.cli import main; main()"
        with (place / "server.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", command, "lab", "--no-browser", "--port", str(port)],
                cwd=place,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path, body=None):
        request = urllib.request.Request(
            self.address + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def end(self):
        """As a service manager does; it must end by itself."""
        self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the server did not end within {END_S} s")

    def until(self, what, *, within_s):
        """The first true answer of ``what``."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server ended"
            try:
                if answer := what():
                    return answer
            except CUT_OFF:
                pass
            time.sleep(0.3)
        pytest.fail(f"waited {within_s} s")

    def finished_job(self, name):
        """The job of this name once it has ended."""

        def ended():
            jobs = [job for job in self.ask("/scheduler/jobs")["jobs"] if job["name"] == name]
            return next((job for job in jobs if job["status"] in {"COMPLETED", "FAILED"}), None)

        return self.until(ended, within_s=RUN_S)


@pytest.fixture
def place(tmp_path, write_notebook):
    """A folder with one small notebook."""
    (tmp_path / "notebooks").mkdir()
    path = write_notebook(tmp_path / "notebooks" / NAME, CODE)
    notebook = nbformat.read(path, 4)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_lab_config.py").write_text("c.LabApp.expose_app_in_browser = True\n")
    return tmp_path


@pytest.fixture
def lab(place):
    """A running server."""
    server = Server(place)
    server.until(lambda: server.ask("/api/status"), within_s=START_S)
    yield server
    if server.process.poll() is None:
        server.end()


def open_form(page, lab, *, name, k):
    page.set_default_timeout(START_S * 1000)
    page.goto(f"{lab.address}/lab/tree/{NAME}?token={lab.token}")
    page.wait_for_function(READY, arg=NAME)
    # the form takes the file that is selected beside the notebook
    page.locator(".jp-DirListing-item.jp-mod-selected", has_text=NAME).wait_for()
    page.evaluate(FORM)
    page.locator(f"input[name=inputFile][value='{NAME}']").wait_for()
    # the form forgets what was typed before it knows where a job can run (jupyter-scheduler 2)
    page.locator("input[name=computeType]").wait_for(state="attached")
    page.fill("input[name=jobName]", name)
    page.click("[title='Add new parameter']")
    for part, text in (("name", "k"), ("value", k)):
        field = page.locator(f"input[name=parameter-0-{part}]")
        field.fill(text)
        field.blur()


def create(page):
    page.get_by_role("button", name="Create", exact=True).click()


def look_again(page):
    """The list of jobs is as of when the page asked for it."""
    page.get_by_role("button", name="Reload", exact=True).click()


def test_a_job_made_in_the_lab_runs_and_shows_its_outputs(page, lab, place):
    open_form(page, lab, name="good", k="5")
    create(page)
    job = lab.finished_job("good")
    look_again(page)
    page.get_by_role("cell", name="Completed").wait_for()
    page.screenshot(path=place / "jobs.png")

    (run,) = (place / "papermill_runs").iterdir()
    assert job["status"] == "COMPLETED"
    assert Manifest.read(run).parameters == {"k": 5}
    shown = {file["file_format"]: file["file_path"] for file in job["job_files"]}
    assert (place / "notebooks" / shown["txt"]).read_text() == "k is 5 int\n"
    page.get_by_role("link", name="Report").wait_for()


def test_a_job_that_fails_is_shown_as_failed(page, lab, place):
    open_form(page, lab, name="bad", k="13")
    create(page)
    job = lab.finished_job("bad")
    look_again(page)
    page.get_by_role("cell", name="Failed").wait_for()
    page.screenshot(path=place / "failed.png")

    assert job["status"] == "FAILED"
    assert "AssertionError: unlucky" in job["status_message"]
    assert page.get_by_role("cell", name="Completed").count() == 0


def test_a_value_of_the_wrong_kind_is_refused_in_the_form(page, lab, place):
    open_form(page, lab, name="wrong", k="many")
    create(page)

    page.get_by_text("cannot be 'many'").wait_for()
    page.screenshot(path=place / "refused.png")
    assert lab.ask("/scheduler/jobs")["total_count"] == 0


@pytest.mark.long(80)
def test_a_scheduled_job_runs_after_its_page_was_closed(page, lab, place):
    open_form(page, lab, name="often", k="7")
    page.check("input[name=createType][value=JobDefinition]")
    page.locator("[role=combobox], [role=button]").filter(has_text="Weekday").first.click()
    page.get_by_role("option", name="Minute").click()
    page.locator("input[name=scheduleInterval][value=minute]").wait_for(state="attached")
    create(page)
    (definition,) = lab.until(
        lambda: lab.ask("/scheduler/job_definitions")["job_definitions"], within_s=START_S
    )
    assert definition["schedule"] == "* * * * *"
    page.screenshot(path=place / "definition.png")
    page.goto("about:blank")
    job = lab.finished_job("often")

    assert job["status"] == "COMPLETED"
    page.goto(f"{lab.address}/lab?token={lab.token}")
    page.wait_for_function(
        "() => window.jupyterapp?.commands.hasCommand('scheduling:list-jobs-from-launcher')"
    )
    page.evaluate(LIST)
    page.get_by_role("cell", name="Completed").first.wait_for()
    page.screenshot(path=place / "scheduled.png")
    log = next(file["file_path"] for file in job["job_files"] if file["file_format"] == "txt")
    assert (place / "notebooks" / log).read_text() == "k is 7 int\n"


def test_the_lab_ends_at_once_and_the_job_that_it_started_goes_on(lab, place):
    code = "import pathlib, time\nwhile not pathlib.Path(gate).exists(): time.sleep(0.1)"
    path = place / "notebooks" / "long.ipynb"
    notebook = nbformat.read(place / "notebooks" / NAME, 4)
    notebook.cells[1].source, notebook.cells[-1].source = f"gate = {str(place / 'gate')!r}", code
    nbformat.write(notebook, path)
    asked = {"name": "long", "input_uri": path.name, "runtime_environment_name": "recbench"}
    lab.ask("/scheduler/jobs", {**asked, "output_formats": ["txt"], "compute_type": "this machine"})
    runs = place / "papermill_runs"
    lab.until(lambda: runs.exists() and list(runs.glob("*/executed.ipynb")), within_s=RUN_S)

    lab.end()

    (run,) = runs.iterdir()
    assert Manifest.read(run).state() == "running"
    (place / "gate").touch()
    deadline = time.monotonic() + RUN_S
    while Manifest.read(run).state() == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert Manifest.read(run).state() == "succeeded"


def test_the_lab_ends_though_it_is_still_answering(lab, place):
    for number in range(300):  # each one is looked at in a thread
        (place / "notebooks" / f"{number}.txt").touch()

    def ask():
        with contextlib.suppress(*CUT_OFF):
            lab.ask("/api/contents")

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    time.sleep(0.2)

    lab.end()

    for thread in asking:
        thread.join()
