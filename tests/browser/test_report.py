"""A run's report, opened in a browser without a network."""

import pytest

from recbench.jobs.run import run_notebook

pytestmark = [pytest.mark.browser]
FIGURE = (
    "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\n_ = axes.plot([1, 2], [3, 4])"
)


@pytest.fixture
def report(tmp_path, write_notebook, monkeypatch):
    """The report of a small run."""
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    notebook = write_notebook(tmp_path / "tiny.ipynb", FIGURE)
    result = run_notebook(notebook, {}, runs=tmp_path / "runs", workspace=tmp_path / "workspace")
    return result.folder / "report.html"


def test_the_report_shows_its_figure_and_folds_its_code(page, report):
    page.goto(report.as_uri())

    widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    code = page.locator(".jp-CodeCell .jp-InputArea").first
    assert len(widths) == 1
    assert widths[0] > 100
    assert page.get_by_role("heading", name="tiny: succeeded").is_visible()
    assert not code.is_visible()
    page.get_by_label("Show code").check()
    assert code.is_visible()
