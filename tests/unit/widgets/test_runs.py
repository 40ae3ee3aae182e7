"""Runs side by side."""

import json

import pytest

from recbench.errors import InputError
from recbench.jobs.runs import Run
from recbench.widgets.runs import (
    compared_metrics,
    logged_points,
    metric_figure,
    sparklines_figure,
)

NDCG = "ndcg@20/known/value"


@pytest.fixture
def run_of(tmp_path):
    def make(name, metrics, points=()):
        folder = tmp_path / name
        folder.mkdir()
        lines = [
            json.dumps({"at": "2026-01-01T00:00:00+00:00", "step": step, "metrics": held})
            for step, held in points
        ]
        if lines:
            (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        return Run(folder, None, metrics)

    return make


def with_bounds(value, low, high):
    return {NDCG: value, "ndcg@20/known/low": low, "ndcg@20/known/high": high}


@pytest.fixture
def two(run_of):
    return [
        run_of("worse", with_bounds(0.2, 0.15, 0.25) | {"seconds": 3, "decision": "hold"}),
        run_of("better", with_bounds(0.3, 0.26, 0.34) | {"seconds": 4, "own": 1.0}),
    ]


def test_numbers_that_all_runs_have_are_compared(two):
    assert compared_metrics(two) == [NDCG, "seconds"]
    assert compared_metrics([]) == []


def test_the_best_run_is_named_and_whether_intervals_part(two, run_of, drawn):
    axes = drawn(metric_figure(two, NDCG))
    assert axes.get_title(loc="left") == "better has the highest: 0.3, clear of the next"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["worse", "better"]
    lines = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert [list(line) for line in lines] == [[0.15, 0.25], [0.26, 0.34]]
    near = run_of("near", with_bounds(0.29, 0.2, 0.31))
    title = metric_figure([*two, near], NDCG).axes[0].get_title(loc="left")
    assert title.endswith("its interval overlaps the next")


def test_a_metric_without_bounds_is_drawn_without_them(two, drawn):
    axes = drawn(metric_figure(two, "seconds"))
    assert axes.get_title(loc="left") == "better has the highest: 4"
    assert axes.get_xlabel() == "seconds"


def test_a_metric_that_a_run_lacks_is_refused(two):
    with pytest.raises(InputError, match="Run worse has no metric 'own'"):
        metric_figure(two, "own")


def test_points_are_read_in_order_and_counted_where_they_have_no_step(run_of):
    run = run_of("a", {}, [(None, {"loss": 3.0}), (None, {"loss": 2.0}), (9, {"x": 1})])
    assert logged_points(run).rows() == [("loss", 0, 3.0), ("loss", 1, 2.0), ("x", 9, 1.0)]


def test_what_was_logged_is_drawn_a_line_a_run(run_of, tmp_path):
    runs = [
        run_of("a", {}, [(0, {"loss": 3.0, "gain": 0.1}), (5, {"loss": 2.0})]),
        run_of("b", {}, [(0, {"loss": 4.0})]),
        run_of("silent", {}),
    ]
    figure = sparklines_figure(runs)
    figure.savefig(tmp_path / "figure.png")
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == (
        "2 metrics were logged on the way; 1 of 3 runs logged none"
    )
    loss, gain = axes.child_axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[3.0, 2.0], [4.0], []]
    assert (loss.get_title(loc="left"), gain.get_title(loc="left")) == ("loss", "gain")


def test_runs_that_logged_nothing_are_told_as_such(two, tmp_path):
    figure = sparklines_figure(two)
    figure.savefig(tmp_path / "figure.png")
    assert figure.axes[0].get_title(loc="left") == "Nothing was logged"
