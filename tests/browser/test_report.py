"""A run's report, opened in a browser without a network and without a kernel."""

import pytest

from recbench.jobs.run import run_notebook

pytestmark = [pytest.mark.browser]
FIGURE = """import matplotlib.pyplot as plt
figure, axes = plt.subplots()
_ = axes.plot([1, 2], [3, 4])"""
TABLE = """import polars as pl
from recbench.widgets.tables import Table
Table(pl.DataFrame({"model": ["itemknn", "two-tower"], "ndcg": [0.2, 0.25]}))"""
WIDGET = """from recbench.widgets.live import latency_explorer
loads = {"busy": pl.DataFrame({"due_s": [0.0, 1.0], "latency_ms": [9.0, 9.0], "error": ["", ""]})}
latency_explorer({"busy": loads["busy"].with_columns(error=pl.lit(None, pl.String))}, bar_ms=8)"""
CHILD = "from recbench.jobs.children import run_child\n_ = run_child('child', {'k': 4})"
RECORD = """from recbench import tracking
tracking.save_figure(figure, "line")
tracking.log_summary({"ndcg": 0.25})"""


@pytest.fixture
def asked(page):
    """Every address that the page asks for, this machine's, too."""
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    return addresses


@pytest.fixture
def report(tmp_path, write_notebook, monkeypatch):
    """The report of a run with a figure, a table, a live widget and a child."""
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(tmp_path))
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    write_notebook(tmp_path / "child.ipynb", FIGURE, RECORD)
    notebook = write_notebook(tmp_path / "tiny.ipynb", FIGURE, TABLE, WIDGET, CHILD, RECORD)
    result = run_notebook(notebook, {}, runs=tmp_path / "runs", workspace=tmp_path / "workspace")
    return result.folder / "report.html"


def test_the_report_needs_neither_network_nor_kernel_and_begins_with_the_summary(
    page, asked, report, tmp_path
):
    page.goto(report.as_uri())
    page.wait_for_load_state("networkidle")

    # the summary first: its heading and metrics stand above every cell
    top = page.get_by_role("heading", name="tiny: succeeded")
    assert top.is_visible()
    assert top.bounding_box()["y"] < page.locator(".jp-Cell").first.bounding_box()["y"]
    assert page.locator(".run-report td", has_text="ndcg").first.is_visible()

    # figure, table and what the widget showed are there without a kernel
    widths = page.eval_on_selector_all(
        ".jp-Cell img", "images => images.map(image => image.naturalWidth)"
    )
    assert len(widths) == 2
    assert min(widths) > 100

    # dark where the reader's system is
    filters = "() => getComputedStyle(document.documentElement).filter"
    assert page.evaluate(filters) == "none"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(filters).startswith("invert(0.93)")
    page.emulate_media(color_scheme="light")
    assert page.locator(".jp-Cell img[alt*='busy: p99 9.00 ms, beyond 8 ms']").is_visible()
    assert page.locator(".jp-Cell td", has_text="two-tower").is_visible()

    # code is folded until it is asked for
    code = page.locator(".jp-CodeCell .jp-InputArea").first
    assert not code.is_visible()
    page.get_by_label("Show code").check()
    assert code.is_visible()

    # the child unfolds in the same file, and its own report is one click away
    child = page.locator(".run-report details")
    picture = child.locator("img[alt=line]")
    assert not picture.is_visible()
    child.locator("summary").click(position={"x": 5, "y": 5})
    assert picture.is_visible()
    page.screenshot(path=tmp_path / "report.png", full_page=True)
    assert [url for url in asked if not url.startswith(("data:", report.as_uri()))] == []
    child.get_by_role("link").click()
    page.get_by_role("heading", name="child: succeeded").wait_for()
