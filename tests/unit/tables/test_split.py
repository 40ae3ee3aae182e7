"""Everyone's past before everyone's future."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.tables.split import split_by_time, split_leave_last_out

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(seconds, users=None):
    return pl.DataFrame(
        {
            "user_id": users or [1] * len(seconds),
            "item_id": list(range(len(seconds))),
            "ts": [START + timedelta(seconds=s) for s in seconds],
        }
    )


def test_ten_instants_are_cut_after_eight_and_nine():
    split = split_by_time(events(range(10)))
    assert [len(part) for part in (split.train, split.validation, split.test)] == [8, 1, 1]
    assert split.validation_ts == START + timedelta(seconds=8)
    assert split.test_ts == START + timedelta(seconds=9)
    assert split.past["item_id"].to_list() == list(range(9))


def test_an_instant_at_the_cut_goes_behind_it_as_a_whole():
    # the row at 60 % is the seventh, at second 3: rows 4, 5, 6 and 7 share it
    split = split_by_time(events([0, 1, 2, 2, 3, 3, 3, 3, 4, 5]), fractions=(0.6, 0.2, 0.2))
    assert split.train["item_id"].to_list() == [0, 1, 2, 3]
    assert split.validation["item_id"].to_list() == [4, 5, 6, 7]
    assert split.test["item_id"].to_list() == [8, 9]


def test_events_out_of_order_are_put_in_order():
    split = split_by_time(events([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]))
    assert split.test["item_id"].to_list() == [0]
    assert split.train["ts"].is_sorted()


@pytest.mark.parametrize("fractions", [(0.8, 0.2, 0.0), (0.5, 0.3, 0.3), (1.2, -0.1, -0.1)])
def test_shares_that_are_not_shares_are_refused(fractions):
    with pytest.raises(InputError, match=rf"got \({fractions[0]}, {fractions[1]}"):
        split_by_time(events(range(10)), fractions=fractions)


@pytest.mark.parametrize("seconds", [[0], [0, 1], [5] * 20, [0] * 9 + [1]])
def test_a_log_of_too_few_instants_is_refused(seconds):
    with pytest.raises(InputError, match=f"{len(seconds)} events from 2026-01-01 .* other `fract"):
        split_by_time(events(seconds))


def test_no_events_are_refused():
    with pytest.raises(InputError, match="no events to split"):
        split_by_time(events(range(2)).head(0))


def test_the_last_event_of_each_user_is_left_out():
    out = split_leave_last_out(events([3, 1, 2, 0], users=[1, 2, 1, 3]))
    # user 1 has items 2 then 0; users 2 and 3 have one event and stay in train
    assert out.test["item_id"].to_list() == [0]
    assert out.train["item_id"].to_list() == [3, 1, 2]


def test_of_two_events_at_one_instant_the_later_row_is_left_out():
    out = split_leave_last_out(events([1, 1]))
    assert (out.train["item_id"].to_list(), out.test["item_id"].to_list()) == ([0], [1])
