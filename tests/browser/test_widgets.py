"""Widgets of the studies in the lab: something is moved in each, and what it shows changes."""

import json
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NAME = "widgets.ipynb"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PREPARE = """import polars as pl
from recbench.datasets import load
from recbench.settings import runs_path, workspace_path
from recbench.widgets.live import data_explorer, feature_inspector, latency_explorer, run_comparison

events = load(data, workspace=workspace_path()).events
slow = {"due_s": [0.0, 1.0], "latency_ms": [9.0, 9.0], "error": [None, None]}
loads = {"busy": pl.DataFrame(slow, schema_overrides={"error": pl.String})}"""
SHOW = (
    "data_explorer(events)",
    "feature_inspector(events)",
    "latency_explorer(loads, bar_ms=8)",
    "run_comparison(runs_path())",
)


@pytest.fixture
def opened(page, start_lab, run_all, tmp_path, tiny_log, write_notebook):
    """A page with the widgets, over the tiny log and three runs."""
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / NAME
    write_notebook(path, PREPARE, *SHOW, parameters=f"data = {str(tiny_log)!r}")
    content = json.loads(path.read_text())
    content["metadata"]["kernelspec"] = KERNEL  # or the lab asks which one
    path.write_text(json.dumps(content))
    shots = Path(os.environ.get("RECBENCH_ARTIFACTS", tmp_path / "screenshots"))
    for run, value in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        folder = tmp_path / "papermill_runs" / f"run-{run}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"ndcg": value}))
        (folder / "report.html").write_text(f"<h1>Report of {run}</h1>")
    address, token = start_lab(tmp_path)
    page.goto(f"{address}/lab/tree/{NAME}?token={token}")
    run_all(page, NAME)
    page.set_default_timeout(60_000)
    yield page
    for name in ("data", "features", "latency", "runs"):
        page.locator(f".rb-{name}").screenshot(path=shots / f"{name}.png")


def test_what_is_moved_changes_what_is_shown(opened, require_readable):
    from playwright.sync_api import expect

    def finding(name, text):
        expect(opened.locator(f".rb-{name} .rb-shown img[alt*='{text}']")).to_have_count(1)

    finding("data", "events on the busiest of")
    opened.locator(".rb-data select").select_option("drift")
    finding("data", "top 20 items")
    opened.locator(".rb-data").get_by_placeholder("all; or ids: 1, 2").first.fill("1000")
    opened.keyboard.press("Enter")
    expect(opened.locator(".rb-data .rb-shown td").nth(4)).to_have_text("1")

    features = opened.locator(".rb-features")
    finding("features", "user_watch_ms_5m is ")
    features.locator("select").select_option("item_popularity_1d")
    expect(features.locator(".rb-shown p").first).to_contain_text("item_id ")
    before = features.locator(".rb-shown p").first.inner_text()
    features.locator(".noUi-handle").first.focus()
    opened.keyboard.press("ArrowLeft")
    expect(features.locator(".rb-shown p").first).not_to_have_text(before)

    require_readable(opened)  # before a report is shown, which has colours of its own
    finding("latency", "busy: p99 9.00 ms, beyond 8 ms")
    opened.locator(".rb-latency input[type=number]").fill("10")
    opened.keyboard.press("Enter")
    finding("latency", "busy: p99 9.00 ms, within 10 ms")

    runs = opened.locator(".rb-runs")
    expect(runs.locator("th", has_text="run-")).to_have_text(["run-c", "run-b"])
    runs.locator("select[multiple]").select_option(["run-a", "run-b", "run-c"])
    expect(runs.locator("th", has_text="run-")).to_have_count(3)
    runs.locator("select").nth(1).select_option("a metric")
    finding("runs", "run-c has the highest: 0.3")
    runs.locator("select").nth(1).select_option("report")
    report = opened.frame_locator(".rb-runs iframe")
    expect(report.get_by_role("heading", name="Report of c")).to_be_visible()
