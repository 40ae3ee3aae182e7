"""A run whose own process could not say how it ended."""

import nbformat
import pytest

from recbench.jobs.close import close_run
from recbench.jobs.manifest import Manifest, process_facts

BEGUN = "2026-11-28T08:00:00+00:00"


@pytest.fixture
def begun(tmp_path):
    """Writes the manifest of a run that has begun, in the given state."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    nbformat.write(notebook, tmp_path / "executed.ipynb")

    def write(**facts):
        given = {"run": "r", "notebook": "n", "notebook_sha256": "", "parameters": {}}
        Manifest(**given, **({"started_at": BEGUN} | facts)).write(tmp_path)
        return tmp_path

    return write


def test_a_dead_process_is_recorded_as_told_and_reported(begun):
    folder = begun(process=process_facts() | {"pid": 2**22 + 1})
    close_run(folder, "killed", "its worker died", within_s=60)
    manifest = Manifest.read(folder)
    assert (manifest.status, manifest.error) == ("killed", "its worker died")
    assert manifest.ended_at > BEGUN
    assert "its worker died" in (folder / "report.html").read_text()


def test_a_process_that_does_not_end_in_time_is_recorded_as_told(begun):
    folder = begun(process=process_facts())
    close_run(folder, "killed", "lost", within_s=0.1)
    assert Manifest.read(folder).status == "killed"


def test_a_run_that_never_began_is_closed_at_once(begun):
    folder = begun(process=process_facts(), started_at="")
    close_run(folder, "interrupted", "cancelled", within_s=60)
    assert Manifest.read(folder).status == "interrupted"


def test_what_the_process_recorded_itself_stands(begun):
    folder = begun(status="failed", error="cell 3: KeyError: 7")
    close_run(folder, "killed", "lost", within_s=60)
    assert Manifest.read(folder).error == "cell 3: KeyError: 7"
