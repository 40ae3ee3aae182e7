"""A job, or its kernel, is killed from outside: nothing lives on, and the record says so."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recbench.jobs.manifest import Manifest

WAIT_S = 200  # on a machine that does other things


def recbench(*arguments):
    return [sys.executable, "-c", "from recbench.cli import main; main()", *map(str, arguments)]


def wait_for(what):
    """The first true answer of ``what``, asked again and again."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.05)
    pytest.fail(f"waited {WAIT_S} s")


@pytest.fixture
def job(tmp_path, write_notebook, monkeypatch):
    """A job in its own process, in the middle of a long cell: (process, its folder, kernel)."""
    code = (
        "import os, time\nfrom pathlib import Path\n"
        "Path('kernel').write_text(str(os.getpid()))\ntime.sleep(300)"
    )
    write_notebook(tmp_path / "long.ipynb", code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    process = subprocess.Popen(
        recbench("run", "long.ipynb"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    written = Path("kernel")
    wait_for(lambda: written.exists() and written.read_text())
    kernel = psutil.Process(int(written.read_text()))
    (folder,) = (tmp_path / "runs").iterdir()
    yield process, folder, kernel
    process.kill()
    process.communicate()


def is_gone(process):
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def listed_status():
    target = Path("runs.json")
    subprocess.run(recbench("runs", "list", "--json", target), check=True, capture_output=True)
    (run,) = json.loads(target.read_text())
    return run["status"]


def test_a_killed_job_takes_its_kernel_along_and_is_listed_as_killed(job):
    process, folder, kernel = job
    assert listed_status() == "running"

    process.kill()
    process.wait()
    wait_for(lambda: is_gone(kernel))  # by itself it would go on for five minutes

    assert Manifest.read(folder).status == "running"  # nobody was left to write
    assert listed_status() == "killed"
    assert json.loads((folder / "executed.ipynb").read_text())["cells"]
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".part")]


def test_a_killed_kernel_ends_the_job_as_killed(job):
    process, folder, kernel = job

    kernel.kill()
    output, errors = process.communicate(timeout=WAIT_S)

    assert process.returncode == 1
    assert Manifest.read(folder).status == "killed"
    assert "was killed in cell 2: the kernel ended with signal 9" in errors
    assert output.splitlines()[-1] == str(folder)


def test_ctrl_c_ends_kernel_and_job_and_exits_130(job):
    process, folder, kernel = job

    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=WAIT_S)

    assert process.returncode == 130
    assert is_gone(kernel)
    assert Manifest.read(folder).status == "interrupted"
    assert output.splitlines()[-1] == str(folder)


def test_a_terminated_job_leaves_no_kernel(job):
    process, _, kernel = job

    process.terminate()
    process.wait()

    wait_for(lambda: is_gone(kernel))
    assert listed_status() == "killed"
