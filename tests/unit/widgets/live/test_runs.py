"""The run comparison's dials choose runs and how they are looked at."""

import json

import pytest

from recbench.jobs.manifest import Manifest
from recbench.widgets.live import run_comparison


@pytest.fixture
def runs(tmp_path):
    """Three runs, the middle one of another notebook."""
    for day, notebook, value in ((1, "fit", 0.2), (2, "other", 0.9), (3, "fit", 0.3)):
        folder = tmp_path / f"2026010{day}T000000Z-{notebook}-abc"
        folder.mkdir()
        Manifest(
            run=folder.name,
            notebook=f"{notebook}.ipynb",
            notebook_sha256="",
            parameters={"steps": 100 * day},
            status="succeeded",
        ).write(folder)
        (folder / "metrics.json").write_text(json.dumps({"ndcg": value, "cpu_s": 1.0}))
        line = {"at": "2026-01-01T00:00:00+00:00", "step": 0, "metrics": {"loss": value}}
        (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path


@pytest.fixture
def comparison(runs):
    return run_comparison(runs)


def test_it_opens_on_the_latest_two_runs_of_one_notebook(comparison):
    assert comparison.dials["chosen"].value == (
        "20260103T000000Z-fit-abc",
        "20260101T000000Z-fit-abc",
    )
    assert ">300<" in comparison.below.value
    assert ">100<" in comparison.below.value
    assert ">200<" not in comparison.below.value


def test_other_runs_can_be_chosen(comparison):
    comparison.dials["chosen"].value = ("20260102T000000Z-other-abc", "20260101T000000Z-fit-abc")
    assert ">200<" in comparison.below.value
    comparison.dials["chosen"].value = ("20260102T000000Z-other-abc",)
    assert "Choose two or more runs." in comparison.below.value


def test_a_metric_is_drawn_for_each_run(comparison):
    comparison.dials["view"].value = "a metric"
    assert "20260103T000000Z-fit-abc has the highest: 0.3" in comparison.below.value
    assert "2 metrics: cpu_s, ndcg" in comparison.below.value
    comparison.dials["like"].value = "cpu"
    assert "1 metrics: cpu_s" in comparison.below.value
    comparison.dials["like"].value = "nothing"
    assert "No number that all of these runs have" in comparison.below.value


def test_what_was_logged_on_the_way_is_drawn(comparison):
    comparison.dials["view"].value = "on the way"
    assert 'alt="1 metric was logged on the way"' in comparison.below.value


def test_without_runs_it_says_so(tmp_path):
    empty = run_comparison(tmp_path / "none")
    assert "There is no run in" in empty.below.value
    assert "rb-runs" in empty._dom_classes


def test_jobs_are_compared_before_interactive_runs(runs):
    for day in (4, 5):
        folder = runs / f"2026010{day}T000000Z-interactive-abc"
        folder.mkdir()
        (folder / "metrics.json").write_text("{}")
    chosen = run_comparison(runs).dials["chosen"].value
    assert chosen == ("20260103T000000Z-fit-abc", "20260101T000000Z-fit-abc")


def test_a_report_is_shown_within_the_page(comparison, runs):
    (runs / "20260103T000000Z-fit-abc" / "report.html").write_text('<h1 id="a">Fine</h1>')
    comparison.dials["view"].value = "report"
    assert 'title="Report of 20260103T000000Z-fit-abc"' in comparison.below.value
    assert 'srcdoc="&lt;h1 id=&quot;a&quot;&gt;Fine&lt;/h1&gt;"' in comparison.below.value
    comparison.dials["chosen"].value = ("20260102T000000Z-other-abc",)
    assert "has no report" in comparison.below.value
    comparison.dials["chosen"].value = ()
    assert "<p>Choose a run.</p>" in comparison.below.value
