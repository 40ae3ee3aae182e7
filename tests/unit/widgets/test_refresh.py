"""Figures of refreshes say what they show."""

import polars as pl

from recbench.widgets.refresh import (
    forecast_figure,
    gap_figure,
    operating_figure,
    update_figure,
    windows_figure,
)

ARMS = {"refresh": 0.19, "retrain": 0.2, "popularity alone": 0.15, "nothing": 0.1}
VALUES = pl.DataFrame(
    [{"window": w, "arm": a, "value": v, "n": 5} for w in range(4) for a, v in ARMS.items()]
)


def test_an_update_says_how_far_the_loss_went(drawn):
    axes = drawn(update_figure([5.0, 4.5, 4.25]))
    assert axes.get_title(loc="left") == "3 steps of the update: 5.000 to 4.250"


def test_an_update_without_steps_is_drawn_too(drawn):
    assert drawn(update_figure([])).get_title(loc="left") == "0 steps of the update"


def test_forecasts_count_what_came_true(drawn):
    history = pl.DataFrame(
        {
            "refresh": [1, 2, 3],
            "expected gain": [0.0, 0.01, 0.01],
            "low": [-0.05, -0.04, -0.04],
            "high": [0.05, 0.06, 0.06],
            "measured gain": [0.02, 0.2, None],
            "standard error": [0.01, 0.01, None],
        }
    )
    title = drawn(forecast_figure(history)).get_title(loc="left")
    assert title == "1 of 2 measured gains lie where nine in ten should"


def test_windows_say_what_refreshes_keep(drawn):
    axes = drawn(windows_figure(VALUES, metric="ndcg@20"))
    assert axes.get_title(loc="left") == "Refreshes keep 95.0% of what retrains reach"
    assert {line.get_label() for line in axes.lines} == ARMS.keys()


def test_a_gap_says_whether_it_grows(drawn):
    for low, high, word in ((-0.02, -0.01, "grows"), (-0.01, 0.01, "does not grow")):
        slope = (low + high) / 2
        title = drawn(gap_figure(VALUES, slope=slope, low=low, high=high)).get_title(loc="left")
        assert title.startswith(f"The gap {word}: ")


def test_an_operating_curve_says_how_often_the_gate_is_wrong(drawn):
    shares = pl.DataFrame(
        {
            "fault": ["all", "all", "all", "noise on embeddings"],
            "lasting": [False, False, True, True],
            "wanted": [0.0, 0.2, 0.05, 0.05],
            "n": [100, 50, 50, 25],
            "caught": [0.02, 1.0, 0.9, 0.8],
            "low": [0.01, 0.93, 0.8, 0.6],
            "high": [0.07, 1.0, 0.95, 0.9],
        }
    )
    axes = drawn(operating_figure(shares))
    title = axes.get_title(loc="left")
    assert title == "The gate is wrong in 2.0% of the refreshes without a fault"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "once: before it is published",
        "lasting: within eight refreshes",
    ]
