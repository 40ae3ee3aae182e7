"""What a feature tells about the next click, on logs with a known answer."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.features.definitions import WindowFeature
from recbench.features.shipped import DEFAULT_WINDOW_FEATURES
from recbench.features.signal import item_signal

START = datetime(2026, 1, 1, tzinfo=UTC)


def clicks_of_item(seconds, name="recent"):
    return WindowFeature(
        name=name,
        entity="item_id",
        aggregation="count",
        value=None,
        window=timedelta(seconds=seconds),
    )


def log_of(items):
    """One click a second; the users take turns."""
    return pl.DataFrame(
        {
            "user_id": [number % 5 for number in range(len(items))],
            "item_id": items,
            "ts": [START + timedelta(seconds=number) for number in range(len(items))],
            "clicked": [True] * len(items),
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def test_a_feature_that_is_always_right_has_signal_one():
    # item 1 is clicked before the warm-up ends, item 2 ever since: 2 is the only one in the window
    table = item_signal(log_of([1] * 10 + [2] * 30), [clicks_of_item(5)], warm_up=0.5)
    assert table.row(0, named=True) == {
        "feature": "recent",
        "signal": 1.0,
        "low": 1.0,
        "high": 1.0,
        "filled_frac": 1.0,
    }


def test_a_feature_that_is_always_wrong_has_signal_zero():
    # two items in turn: a window of one second holds the other item only
    table = item_signal(log_of([1, 2] * 20), [clicks_of_item(1)])
    assert table["signal"].to_list() == [0.0]
    assert table["filled_frac"].to_list() == [0.0]


def test_a_feature_without_values_tells_nothing():
    empty = WindowFeature(
        name="watched",
        entity="item_id",
        aggregation="mean",
        value="watch_ms",
        window=timedelta(days=1),
    )
    table = item_signal(log_of([1, 2] * 20), [empty])
    assert table.select("signal", "low", "high", "filled_frac").row(0) == (0.5, 0.5, 0.5, 0.0)


def test_the_interval_holds_the_signal_and_the_same_seed_the_same_table():
    events = log_of([1, 2, 1, 3, 1, 1, 2] * 12)
    features = [clicks_of_item(3, "short"), clicks_of_item(30, "long")]
    table = item_signal(events, features, seed=4)
    assert table["feature"].to_list() == ["short", "long"]
    assert (table["low"] < table["signal"]).all()
    assert (table["signal"] < table["high"]).all()
    assert table.equals(item_signal(events, features, seed=4))


def test_a_feature_of_users_is_refused():
    with pytest.raises(InputError, match="user_clicks_1h is a feature of `user_id`"):
        item_signal(log_of([1, 2]), DEFAULT_WINDOW_FEATURES)


def test_a_log_without_clicks_is_refused():
    unclicked = log_of([1, 2] * 4).with_columns(clicked=pl.lit(False))
    with pytest.raises(InputError, match="No click after the first 50% of 8 events"):
        item_signal(unclicked, [clicks_of_item(1)])


def test_a_log_of_one_item_is_refused():
    with pytest.raises(InputError, match=r"no other item.*the log has 1"):
        item_signal(log_of([1] * 4), [clicks_of_item(1)])
