"""Figures of features: the title states what was found, and what is drawn is the data."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recbench.features.definitions import WindowFeature
from recbench.widgets.features import (
    distribution_figure,
    popularity_figure,
    signal_figure,
    skew_figure,
    window_figure,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = WindowFeature(
    name="user_clicks_1h",
    entity="user_id",
    aggregation="count",
    value=None,
    window=timedelta(hours=1),
)


def test_a_window_shows_which_events_count(drawn):
    minutes = [-200, -60, -1, 0, 30]
    events = pl.DataFrame({"ts": [START + timedelta(minutes=minute) for minute in minutes]})
    axes = drawn(window_figure(events, HOUR, at=START, value=2))
    counted, others = (line.get_xdata().tolist() for line in axes.lines)
    assert counted == [-60, -1]
    assert others == [0, 30]  # the one 200 minutes before is out of sight
    assert axes.get_title(loc="left").endswith("is 2: 2 of 4 events are in the window")


def test_a_distribution_states_how_often_the_shortest_window_is_empty(drawn):
    axes = drawn(distribution_figure(pl.DataFrame({"user_clicks_1h": [0, 2, 1, 0]}), [HOUR]))
    assert axes.get_title(loc="left") == "user_clicks_1h is 0 for 50% of the events"
    assert axes.lines[0].get_xdata().tolist() == [0, 0, 1, 2]
    assert axes.lines[0].get_ydata().tolist() == [1.0, 0.75, 0.5, 0.25]


def test_a_distribution_of_no_events_can_be_drawn(drawn):
    nothing = pl.DataFrame({"user_clicks_1h": []}, schema={"user_clicks_1h": pl.Int64})
    assert "no events" in drawn(distribution_figure(nothing, [HOUR])).get_title(loc="left")


def test_popularity_is_drawn_as_a_share_of_its_peak(drawn):
    instants = [START + timedelta(days=day) for day in range(3)]
    popularity = np.array([[0.0, 2.0], [4.0, 1.0], [1.0, 0.0]])
    axes = drawn(
        popularity_figure(instants, popularity, half_lives_s=[3600.0, 86_400.0], item="Item 5")
    )
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0, 1, 0.25], [1, 0.5, 0]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1 h", "1 d"]
    assert axes.get_title(loc="left") == "Item 5: the peak moves by 1 d with the half-life"


def test_the_signal_figure_names_the_best_feature(drawn):
    table = pl.DataFrame(
        {
            "feature": ["short", "long"],
            "signal": [0.55, 0.8],
            "low": [0.5, 0.75],
            "high": [0.6, 0.85],
        }
    )
    axes = drawn(signal_figure(table))
    assert axes.get_title(loc="left").startswith(
        "long tells most: the clicked item is ahead in 80%"
    )
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["long", "short"]


def test_skew_states_the_largest_difference_and_what_one_side_lacks(drawn):
    values = pl.DataFrame(
        {
            "feature": ["a", "a", "b", "b"],
            "online": [2.0, 4.0, 1.0, None],
            "batch": [2.0, 3.0, 1.0, 5.0],
        }
    )
    axes = drawn(skew_figure(values))
    # of a the largest is 4: 4 / 4 - 3 / 4
    title = "4 values served and computed again: largest difference 0.2, 1 on one side only"
    assert axes.get_title(loc="left") == title
    assert axes.lines[1].get_ydata().tolist() == [0.5, 1.0]


def test_no_skew_is_stated_as_zero(drawn):
    values = pl.DataFrame({"feature": ["a"], "online": [7.0], "batch": [7.0]})
    assert drawn(skew_figure(values)).get_title(loc="left").endswith("largest difference 0")
