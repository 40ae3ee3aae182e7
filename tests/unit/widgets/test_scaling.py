"""Figures of scaling policies."""

import polars as pl
import pytest

from recbench.widgets.scaling import cost_figure, energy_figure, savings_figure, workers_figure

ARMS = ("best static", "reactive", "ours", "clairvoyant bound")


@pytest.fixture
def frame():
    costs = {"best static": 10.0, "reactive": 5.0, "ours": 6.0, "clairvoyant bound": 4.0}
    rows = [
        {"trace": f"day {day}", "arm": arm, "cost": costs[arm] + day, "missed": arm == "reactive"}
        for day in range(3)
        for arm in ARMS
    ]
    return pl.DataFrame(rows).with_columns(pl.col("missed").cast(pl.Int64), n_jobs=100)


def test_workers_over_a_day_name_the_mean_and_the_most(drawn):
    ours = [(0.0, 2, 1), (1800.0, 6, 6), (3600.0, 4, 2)]
    static = [(0.0, 9, 1), (1800.0, 9, 6), (3600.0, 9, 2)]
    axes = drawn(workers_figure({"ours": ours, "best static": static}, day="day 7"))

    title = axes.get_title(loc="left")
    assert title == "day 7: ours pays for 4 workers on average, 6 at most"
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["ours"].get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert lines["best static"].get_ydata().tolist() == [9, 9, 9]


def test_cost_is_drawn_against_what_was_late_beside_the_bound(drawn, frame):
    axes = drawn(cost_figure(frame))

    assert axes.get_title(loc="left") == "Of 3 days ours missed 0 deadlines"
    labels = {text.get_text() for text in axes.get_legend().get_texts()}
    assert labels == set(ARMS)


def test_savings_name_the_interval_against_the_best_static_size(drawn):
    savings = pl.DataFrame(
        {
            "against": ["best static", "clairvoyant bound"],
            "saved": [0.4, -0.05],
            "low": [0.38, -0.06],
            "high": [0.42, -0.04],
            "missed": [0, 0],
        }
    )
    axes = drawn(savings_figure(savings))

    assert "40.0% [38.0%, 42.0%]" in axes.get_title(loc="left")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["clairvoyant bound (0 late)", "best static (0 late)"]


def test_carbon_is_compared_with_the_best_static_size(drawn):
    arms = pl.DataFrame(
        {
            "arm": ["best static", "ours", "clairvoyant bound"],
            "kwh": [10.0, 8.0, None],
            "carbon_kg": [4.0, 3.0, None],
        }
    )
    axes = drawn(energy_figure(arms))

    assert axes.get_title(loc="left") == "Ours emits 25% less than the best static size"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["best static", "ours"]
