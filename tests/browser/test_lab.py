"""JupyterLab as `recbench lab` starts it, used as a person would."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAME = "01_explore_events.ipynb"
START_S = 60
RUN_ALL_MS = 180_000

READY = """name => {
    const app = window.jupyterapp, widget = app?.shell.currentWidget;
    return widget?.context?.path === name && widget.context.isReady
        && widget.sessionContext.isReady && app.commands.hasCommand('notebook:run-all-cells');
}"""
RUN_ALL = """async () => {
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    await window.jupyterapp.shell.currentWidget.context.save();
}"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_it_answers(address, server):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"no answer from {address} in {START_S} s")


@pytest.fixture
def place(tmp_path, tiny_log):
    """A copy of the notebook, told to read the tiny log."""
    if not (NOTEBOOKS / NAME).exists():
        pytest.skip(f"there is no notebook {NAME}")
    (tmp_path / "notebooks").mkdir()
    copy = tmp_path / "notebooks" / NAME
    shutil.copy(NOTEBOOKS / NAME, copy)
    content = json.loads(copy.read_text())
    (cell,) = [x for x in content["cells"] if "parameters" in x["metadata"].get("tags", [])]
    cell["source"] = [*cell["source"], f"\ndata = {str(tiny_log)!r}"]
    copy.write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def lab(place):
    """A running server of one's own; yields its address."""
    config = place / "config"
    config.mkdir()
    (config / "jupyter_lab_config.py").write_text("c.LabApp.expose_app_in_browser = True\n")
    port, token = free_port(), secrets.token_hex(16)
    environment = os.environ | {
        "HOME": str(place),
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_DATA_DIR": str(place / "data"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "JUPYTER_TOKEN": token,
        "RECBENCH_TRACKING": "off",
    }
    command = "from recbench.cli import main; main()"
    with (place / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", command, "lab", "--no-browser", "--port", str(port)],
            cwd=place,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}/lab/tree/{NAME}?token={token}"
    wait_until_it_answers(address, server)
    yield address
    server.terminate()
    server.wait(20)


def test_a_notebook_runs_from_beginning_to_end_in_the_lab(page, lab, place):
    page.goto(lab)
    page.wait_for_function(READY, arg=NAME, timeout=START_S * 1000)
    page.set_default_timeout(RUN_ALL_MS)
    page.evaluate(RUN_ALL)

    saved = json.loads((place / "notebooks" / NAME).read_text())
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", [])]
    assert [output["evalue"] for output in outputs if output["output_type"] == "error"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
    (recorded,) = (place / "papermill_runs").glob("*-interactive-*/metrics.json")
    assert json.loads(recorded.read_text())
    assert page.get_by_text("official Jupyter news").count() == 0
