from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.simulation.next_items import CADENCES, freshness_curve, hits

START = datetime(2026, 1, 1, tzinfo=UTC)


def log(*rows):
    users, items, minutes = zip(*rows, strict=True)
    ts = [START + timedelta(minutes=m) for m in minutes]
    frame = pl.DataFrame({"user_id": users, "item_id": items, "ts": ts, "clicked": True})
    return frame.with_columns(pl.col("ts").dt.cast_time_unit("us"))


# users 1 to 5 all go from item 7 to item 8, user 9 (the first half) elsewhere
ROWS = [(9, m, m) for m in range(10)] + [
    (u, item, 10 + 20 * u + (item - 7)) for u in range(1, 6) for item in (7, 8)
]


def test_what_is_told_is_what_was_counted_before_the_last_tick():
    for every, told in (
        (timedelta(minutes=15), [True] * 5),
        (timedelta(minutes=60), [True] * 5),
    ):
        found = hits(log(*ROWS), share=0.5, every=every)
        assert found["user_id"].to_list() == [1, 2, 3, 4, 5]
        # 8 is popular from user 9's clicks on already: the list is filled up with it
        assert found["hit"].to_list() == told


def test_never_learns_nothing_after_the_cut():
    fresh = [(9, 100 + m, m) for m in range(10)] + ROWS[10:]
    # cut at minute 30; user 1 asks in the first window of any cadence
    assert hits(log(*fresh), share=0.5, every=timedelta.max)["hit"].to_list() == [False] * 5
    quarter = hits(log(*fresh), share=0.5, every=timedelta(minutes=15))["hit"].to_list()
    assert quarter == [False, True, True, True, True]
    # minutes 30, 50, 70, 90, 110 after the beginning: hours of two, two and one requests
    hour = hits(log(*fresh), share=0.5, every=timedelta(hours=1))["hit"].to_list()
    assert hour == [False, False, False, True, True]


def test_gains_are_relative_and_those_of_the_reference_are_none():
    found = freshness_curve(log(*ROWS), share=0.5)

    assert found["cadence"].to_list() == list(CADENCES)
    assert found.filter(pl.col("cadence") == "1 d").row(0)[2:5] == (0.0, 0.0, 0.0)


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match=r"`share` must be in \(0, 1\), got 1"):
        hits(log(*ROWS), share=1, every=timedelta(hours=1))
    with pytest.raises(InputError, match="got '1 week'"):
        freshness_curve(log(*ROWS), share=0.5, against="1 week")
