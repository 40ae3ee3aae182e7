import shutil

import nbformat
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.jobs.again import plan_again
from recbench.jobs.manifest import Manifest
from recbench.jobs.notebook import read_notebook
from recbench.jobs.run import RunFailedError, run_notebook
from recbench.tables.lake import LakeTable


@pytest.fixture
def earlier(finished_run, tmp_path):
    """A copy of a finished run with k=5, whose notebook can be changed: (folder, notebook)."""
    result, _ = finished_run
    folder = shutil.copytree(result.folder, tmp_path / result.folder.name)
    manifest = Manifest.read(folder)
    notebook = shutil.copy(manifest.notebook, tmp_path / "tiny.ipynb")
    manifest.notebook = str(notebook)
    manifest.write(folder)
    return folder, notebook


def plan(folder, tmp_path, source=None):
    return plan_again(folder, source=source, workspace=tmp_path / "workspace")


def test_a_notebook_that_has_not_changed_is_taken_where_it_lies(earlier, tmp_path):
    folder, notebook = earlier

    again = plan(folder, tmp_path)

    assert again.notebook == notebook
    assert again.origin == f"{notebook} (as it was)"
    assert again.parameters == {"k": 5, "seed": 7, "rate": 0.5}


@pytest.mark.parametrize("state", ["has gone", "has changed since"])
def test_else_the_cells_that_ran_are_taken(earlier, tmp_path, state):
    folder, notebook = earlier
    before = read_notebook(notebook)
    notebook.unlink() if state == "has gone" else notebook.write_text("{}")

    again = plan(folder, tmp_path)

    assert again.origin == f"the cells that ran then, {again.notebook} ({notebook} {state})"
    kept = read_notebook(again.notebook)
    assert again.notebook.name == notebook.name
    assert [cell.source for cell in kept.cells] == [cell.source for cell in before.cells]
    assert [cell.metadata.get("tags", []) for cell in kept.cells] == [
        cell.metadata.get("tags", []) for cell in before.cells
    ]
    assert not any(cell.get("outputs") for cell in kept.cells)
    assert "papermill" not in kept.metadata


def test_the_kept_cells_are_written_the_same_each_time(earlier, tmp_path):
    folder, _ = earlier

    first = plan(folder, tmp_path, "kept").notebook.read_bytes()

    assert plan(folder, tmp_path, "kept").notebook.read_bytes() == first


def test_the_file_as_it_is_now_is_taken_on_request(earlier, tmp_path):
    folder, notebook = earlier
    changed = read_notebook(notebook)
    changed.cells[-1].source = "print('new')"
    nbformat.write(changed, notebook)

    again = plan(folder, tmp_path, "current")

    assert again.notebook == notebook
    assert [what for what, _, _ in again.differences if what == "notebook_sha256"]


def test_a_file_that_has_gone_cannot_be_asked_for(earlier, tmp_path):
    folder, notebook = earlier
    notebook.unlink()

    with pytest.raises(InputError, match=r"tiny.ipynb` has gone; leave out `--source`"):
        plan(folder, tmp_path, "current")


def test_without_kept_cells_a_changed_notebook_is_refused(earlier, tmp_path):
    folder, notebook = earlier
    notebook.write_text("{}")
    (folder / "executed.ipynb").unlink()

    with pytest.raises(InputError, match=r"tiny.ipynb` is not what `.*` ran, and that run kept no"):
        plan(folder, tmp_path)


def test_what_differs_now_is_told(earlier, tmp_path):
    folder, _ = earlier
    manifest = Manifest.read(folder)
    manifest.code["commit"] = "c0"
    manifest.environment["packages"]["polars"] = "0.1"
    manifest.data = {"tiny": 3, "gone": 1, "same": 0}
    manifest.write(folder)
    for name, n_versions in [("tiny", 5), ("same", 1)]:
        for number in range(n_versions):
            table = LakeTable(tmp_path / "workspace" / "lake" / name / "events")
            table.append(pl.DataFrame({"number": [number]}))

    told = {what: (before, now) for what, before, now in plan(folder, tmp_path).differences}

    assert told["data tiny"] == ("version 3", "version 4")
    assert told["data gone"] == ("version 1", "not in this lake")
    assert "data same" not in told
    assert told["commit"][0] == "c0"
    assert told["polars"] == ("0.1", pl.__version__)


def test_a_failed_run_is_made_again_without_its_marks_of_failure(
    tmp_path, write_notebook, untracked
):
    notebook = write_notebook(tmp_path / "bad.ipynb", "print(k)", "raise KeyError('item 17')")
    places = {"runs": tmp_path / "runs", "workspace": tmp_path / "workspace"}
    with pytest.raises(RunFailedError) as raised:
        run_notebook(notebook, {"k": 9}, **places)
    before = read_notebook(notebook)
    notebook.unlink()

    again = plan(raised.value.folder, tmp_path)

    kept = read_notebook(again.notebook)
    assert [cell.source for cell in kept.cells] == [cell.source for cell in before.cells]
    assert again.parameters == {"k": 9}
