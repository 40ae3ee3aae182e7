import errno
import json
import os
import signal
from contextlib import contextmanager

import nbformat
import psutil
import pytest

from recbench.errors import InputError
from recbench.files import whole_file
from recbench.jobs import execute
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import Manifest
from recbench.jobs.notebook import read_notebook
from recbench.jobs.run import RunFailedError, notebook_parameters, resume_run, run_notebook


def text_of(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def run(notebook, tmp_path, **options):
    parameters = options.pop("parameters", {})
    places = {"runs": tmp_path / "runs", "workspace": tmp_path / "workspace"}
    return run_notebook(notebook, parameters, **places, **options)


def only_run(tmp_path):
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


def test_a_run_leaves_everything_in_its_folder(finished_run):
    result, _ = finished_run

    assert result.status == "succeeded"
    assert result.metrics == {"ndcg@20": {"known": {"value": 0.25}}}
    names = {path.name for path in result.folder.iterdir()}
    assert names >= {"executed.ipynb", "manifest.json", "metrics.json", "report.html", "log.txt"}
    assert (result.folder / "figures" / "curve.png").stat().st_size > 1000
    assert result.folder.name.split("-")[1:2] == ["tiny"]


def test_the_notebook_runs_with_the_parameters_given(finished_run):
    result, _ = finished_run

    executed = nbformat.read(result.folder / "executed.ipynb", as_version=4)
    log = (result.folder / "log.txt").read_text()
    assert "k is 5" in text_of(executed)
    assert log.splitlines()[0] == "k is 5"
    assert finished_run[1].output == log


def test_the_kernel_is_told_the_workspace_in_full(finished_run):
    result, _ = finished_run

    workspace = result.folder.parents[1] / "workspace"
    assert (result.folder / "log.txt").read_text().splitlines()[1] == str(workspace)


def test_progress_counts_code_cells_with_the_injected_one(finished_run):
    # parameters, injected, and three of the notebook's own
    assert finished_run[1].cells == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_failed_cell_fails_the_run_and_keeps_the_notebook(tmp_path, write_notebook, untracked):
    codes = ["print('before')", "raise KeyError('item 17')", "print('after')"]
    notebook = write_notebook(tmp_path / "bad.ipynb", *codes)

    with pytest.raises(RunFailedError, match="failed in cell 3: KeyError: 'item 17'") as raised:
        run(notebook, tmp_path)

    folder = only_run(tmp_path)
    manifest = Manifest.read(folder)
    assert raised.value.folder == folder
    assert manifest.status == "failed"
    assert manifest.error == "cell 3: KeyError: 'item 17'"
    assert len(manifest.cells) == 3
    assert (folder / "log.txt").read_text() == "before\n"
    assert "item 17" in (folder / "report.html").read_text()


def test_a_dead_kernel_is_a_killed_run_not_a_failed_one(tmp_path, write_notebook, untracked):
    notebook = write_notebook(tmp_path / "die.ipynb", "import os\nos.kill(os.getpid(), 9)")

    with pytest.raises(RunFailedError, match=r"was killed in cell 2: .* signal 9 \(often: out of"):
        run(notebook, tmp_path)

    manifest = Manifest.read(only_run(tmp_path))
    assert manifest.status == "killed"
    assert (only_run(tmp_path) / "executed.ipynb").exists()


def test_ctrl_c_ends_the_kernel_and_is_recorded(tmp_path, write_notebook, untracked):
    codes = ["import os\nprint(os.getpid(), flush=True)", "import time\ntime.sleep(60)"]
    notebook = write_notebook(tmp_path / "slow.ipynb", *codes)

    class Interrupt(Listener):
        def on_cell(self, cell, n_cells):
            if cell == n_cells:
                signal.setitimer(signal.ITIMER_REAL, 0.5)

    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            run(notebook, tmp_path, listener=Interrupt())
    finally:
        signal.signal(signal.SIGALRM, before)

    folder = only_run(tmp_path)
    assert Manifest.read(folder).status == "interrupted"
    assert not psutil.pid_exists(int((folder / "log.txt").read_text()))


def test_a_full_disk_in_mid_run_is_a_failed_run(tmp_path, write_notebook, untracked, monkeypatch):
    notebook = write_notebook(tmp_path / "n.ipynb", "print('reached')")
    written = []

    @contextmanager
    def filling_up(path):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        with whole_file(path) as draft:
            yield draft

    monkeypatch.setattr(execute, "whole_file", filling_up)
    before = psutil.Process().children()

    with pytest.raises(OSError, match="No space left on device"):
        run(notebook, tmp_path)

    folder = only_run(tmp_path)
    manifest = Manifest.read(folder)
    assert manifest.status == "failed"
    assert "No space left on device" in manifest.error
    assert read_notebook(folder / "executed.ipynb").cells  # the last state that fitted, whole
    assert set(psutil.Process().children()) <= set(before)


@pytest.mark.parametrize("parameters", [{"kk": 1}, {"k": "many"}])
def test_bad_parameters_are_refused_before_anything_runs(tmp_path, write_notebook, parameters):
    notebook = write_notebook(tmp_path / "n.ipynb", "print(1)")

    with pytest.raises(InputError, match="kk|many"):
        run(notebook, tmp_path, parameters=parameters)

    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_be_created_are_refused_before_anything_runs(tmp_path, write_notebook):
    notebook = write_notebook(tmp_path / "n.ipynb", "print(1)")
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(
        InputError, match=r"Cannot create a run's folder below `.*runs`.*RECBENCH_RUNS"
    ):
        run(notebook, tmp_path)


@pytest.mark.parametrize("content", ["not json", '{"cells": 1}', '{"nbformat": 4}', "[]", ""])
def test_what_is_not_a_notebook_is_refused(tmp_path, content):
    path = tmp_path / "n.ipynb"
    path.write_text(content)

    with pytest.raises(InputError, match=r"n.ipynb` is not a notebook"):
        notebook_parameters(path)


def test_a_missing_notebook_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"There is no notebook `.*none.ipynb`"):
        notebook_parameters(tmp_path / "none.ipynb")


def test_resuming_repeats_in_the_same_folder_and_keeps_the_first_attempt(
    tmp_path, write_notebook, untracked
):
    code = "from pathlib import Path\nassert Path(ready).exists(), 'not yet'\nprint('done')"
    ready = tmp_path / "ready"
    notebook = write_notebook(tmp_path / "n.ipynb", code, parameters="ready = ''")
    with pytest.raises(RunFailedError, match="AssertionError: not yet"):
        run(notebook, tmp_path, parameters={"ready": str(ready)})
    folder = only_run(tmp_path)

    ready.touch()
    result = resume_run(folder, workspace=tmp_path / "workspace")

    manifest = Manifest.read(folder)
    assert result.folder == folder
    assert manifest.status == "succeeded"
    assert manifest.parameters == {"ready": str(ready)}
    assert (manifest.parent, manifest.group) == (None, folder.name)
    assert [attempt["status"] for attempt in manifest.attempts] == ["failed"]
    assert "not yet" in (folder / "attempts" / "1" / "report.html").read_text()
    assert (folder / "log.txt").read_text() == "done\n"


def test_a_run_that_succeeded_is_not_resumed(finished_run):
    with pytest.raises(InputError, match="is succeeded; only an unfinished run"):
        resume_run(finished_run[0].folder, workspace=finished_run[0].folder)


def test_manifest_says_what_ran_on_what(finished_run):
    content = json.loads((finished_run[0].folder / "manifest.json").read_text())

    assert content["parameters"] == {"k": 5, "seed": 7, "rate": 0.5}
    assert content["seed"] == 7
    assert content["data"] == {"name": "tiny", "version": 3}
    assert content["tracking"] == {"wandb": "offline"}
    assert (content["parent"], content["group"]) == (None, content["run"])
    assert content["releases"] == {}
    assert len(content["code"]["lock_sha256"]) == 64
    assert content["environment"]["packages"]["polars"]
    assert content["peak_memory_bytes"] > 20 * 2**20
    assert [cell["cell"] for cell in content["cells"]] == [1, 2, 3, 4, 5]
    assert content["started_at"] < content["ended_at"]
