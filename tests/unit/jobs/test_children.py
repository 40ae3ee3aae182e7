"""A notebook runs others as jobs: each a run of its own, all in one report, resumable."""

import json
import os
import signal
import threading
import time

import psutil
import pytest

from recbench.errors import InputError
from recbench.jobs import children as module
from recbench.jobs.children import Asked, children_table, run_child, run_children
from recbench.jobs.manifest import Manifest
from recbench.jobs.run import RunFailedError, resume_run, run_notebook

RECORD = (
    "from recbench import tracking\nimport polars as pl\n"
    "tracking.log_summary({'squared': k * k}, tables={'rows': pl.DataFrame({'a': [1, k]})},\n"
    "    data={'tiny': 3})"
)
PARENT = """from recbench.jobs.children import Asked, children_table, run_children
asked = [Asked(notebook="child", parameters={"k": k}, name=f"k {k}") for k in (2, 5)]
found = run_children(asked, at_once=2)
print(found[1].metrics, found[0].table("rows")["a"].to_list(), found[0].data)
children_table(found, ["squared"])"""
ON_DEMAND = """import os, pathlib
with open(os.environ["TOLD"], "a") as told:
    told.write(f"{k}\\n")
assert k != 5 or pathlib.Path(os.environ["TOLD"] + ".ready").exists()"""


@pytest.fixture
def places(tmp_path, monkeypatch, untracked):
    """Notebooks by name, runs and workspace, as a process finds them by itself."""
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(tmp_path / "notebooks"))
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    (tmp_path / "notebooks").mkdir()
    return {"runs": tmp_path / "runs", "workspace": tmp_path / "workspace"}


@pytest.fixture
def notebook(tmp_path, write_notebook):
    return lambda name, *codes: write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", *codes)


def test_a_resumed_parent_runs_only_the_child_that_failed_and_reports_both(
    places, notebook, tmp_path, monkeypatch
):
    told = tmp_path / "told"
    monkeypatch.setenv("TOLD", str(told))
    notebook("child", ON_DEMAND, RECORD)
    parent = notebook("parent", PARENT)
    with pytest.raises(RunFailedError, match="k 5|child") as failed:
        run_notebook(parent, {}, **places)
    folder = failed.value.folder
    page = (folder / "report.html").read_text()
    assert "k 5: failed" in page
    assert sorted(told.read_text().split()) == ["2", "5"]
    tmp_path.joinpath("told.ready").touch()

    result = resume_run(folder, workspace=places["workspace"])

    assert sorted(told.read_text().split()) == ["2", "5", "5"]
    record = json.loads((result.folder / "children.json").read_text())
    runs = {name: places["runs"] / child["run"] for name, child in record.items()}
    assert {Manifest.read(run).parent for run in runs.values()} == {folder.name}
    assert {Manifest.read(run).group for run in runs.values()} == {folder.name}
    assert len(Manifest.read(runs["k 5"]).attempts) == 1
    assert not Manifest.read(runs["k 2"]).attempts
    page = (result.folder / "report.html").read_text()
    assert "k 5: succeeded" in page
    assert f'href="../{runs["k 2"].name}/report.html"' in page
    assert "<td>squared</td><td>25</td>" in page
    log = (result.folder / "log.txt").read_text()
    assert "{'squared': 25} [1, 2] {'tiny': 3}" in log
    assert "succeeded, earlier" in (result.folder / "executed.ipynb").read_text()


def test_a_failed_child_is_told_by_its_status_where_that_is_asked_for(places, notebook):
    notebook("bad", "raise KeyError('item 17')")

    child = run_child("bad", check=False)

    assert (child.status, child.error) == ("failed", "cell 2: KeyError: 'item 17'")
    assert children_table([child])["status"].to_list() == ["failed"]
    with pytest.raises(InputError, match=r"no table 'ranking'; it has \[\]"):
        child.table("ranking")


def test_nothing_runs_if_one_of_the_children_cannot_begin(places, notebook):
    notebook("child", RECORD)
    asked = [Asked(notebook="child"), Asked(notebook="child", name="b", parameters={"kk": 3})]

    with pytest.raises(InputError, match="no parameter `kk`"):
        run_children(asked)
    with pytest.raises(InputError, match="two children named 'child'"):
        run_children([asked[0], asked[0]])

    assert not places["runs"].exists()


def test_a_child_that_nobody_wants_any_more_is_interrupted(places, notebook, tmp_path):
    pid = tmp_path / "pid"
    notebook(
        "slow",
        f"import os, pathlib\n_ = pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))",
        "import time\ntime.sleep(600)",
    )

    def interrupt():
        while not pid.exists() or not pid.read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_child("slow")
    finally:
        signal.signal(signal.SIGINT, before)

    (folder,) = places["runs"].iterdir()
    assert Manifest.read(folder).status == "interrupted"
    assert not psutil.pid_exists(int(pid.read_text()))


def test_a_child_does_not_outlive_a_parent_that_is_killed(places, notebook, tmp_path):
    pid = tmp_path / "pid"
    notebook(
        "slow",
        f"import os, pathlib\n_ = pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))",
        "import time\ntime.sleep(600)",
    )
    code = "import os, threading, time, pathlib\n"
    code += f"path = pathlib.Path({str(pid)!r})\n"
    code += "def kill():\n    while not (path.exists() and path.read_text()): time.sleep(0.05)\n"
    code += "    os.kill(os.getpid(), 9)\n"
    code += "threading.Thread(target=kill, daemon=True).start()\n"
    code += "from recbench.jobs.children import run_child\nrun_child('slow')"

    with pytest.raises(RunFailedError, match="signal 9"):
        run_notebook(notebook("parent", code), {}, **places)

    (folder,) = [each for each in places["runs"].iterdir() if "-slow-" in each.name]
    deadline = time.monotonic() + 60
    while Manifest.read(folder).status == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert Manifest.read(folder).status == "killed"
    assert not psutil.pid_exists(int(pid.read_text()))


def test_children_go_to_the_cluster_that_the_parent_runs_on(places, notebook, monkeypatch):
    notebook("child", RECORD)
    carried_out = []

    class Way:
        def __init__(self, client):
            self.client = client

        def __call__(self, prepared, *, workspace, listener):
            carried_out.append((self.client, prepared.manifest.parameters))
            prepared.manifest.status = "succeeded"
            prepared.manifest.write(prepared.folder)

    monkeypatch.setattr(module, "current_client", lambda: "client")
    monkeypatch.setattr(module, "OnCluster", Way)

    assert run_child("child", {"k": 4}).status == "succeeded"
    assert carried_out == [("client", {"k": 4})]
