"""JupyterLab as `recbench lab` starts it, used as a person would."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAME = "01_explore_events.ipynb"


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


def test_a_notebook_runs_from_beginning_to_end_in_the_lab(page, start_lab, run_all, place):
    address, token = start_lab(place)
    page.goto(f"{address}/lab/tree/{NAME}?token={token}")
    run_all(page, NAME)

    saved = json.loads((place / "notebooks" / NAME).read_text())
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", [])]
    assert [output["evalue"] for output in outputs if output["output_type"] == "error"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)
    (recorded,) = (place / "papermill_runs").glob("*-interactive-*/metrics.json")
    assert json.loads(recorded.read_text())
    assert page.get_by_text("official Jupyter news").count() == 0
