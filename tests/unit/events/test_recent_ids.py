"""The table of recent ids answers as a set would."""

from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recbench.events.recent_ids import SMALLEST, RecentIds

HOUR = 3_600_000_000
NOW = 500_000 * HOUR


def add(recent, ids, *, ts=NOW, oldest=None):
    values = pl.Series(ids)
    return recent.add(values, np.full(len(ids), ts), oldest=ts if oldest is None else oldest)


@given(
    batches=st.lists(st.lists(st.integers(-5, 40), min_size=1, max_size=30), max_size=10),
    as_text=st.booleans(),
)
def test_the_first_of_an_id_is_new_and_no_other(batches, as_text):
    recent, seen = RecentIds(timedelta(hours=24)), set()
    for batch in batches:
        ids = [str(i) for i in batch] if as_text else batch
        expected = []
        for one in ids:
            expected.append(one not in seen)
            seen.add(one)
        assert add(recent, ids).tolist() == expected
    assert len(recent) == len(seen)


def test_extreme_ids_and_zero_are_ids_like_others():
    recent = RecentIds(timedelta(hours=24))
    ids = [0, -1, 2**63 - 1, -(2**63)]
    assert add(recent, ids).all()
    assert not add(recent, ids).any()


def test_the_table_grows_and_forgets_nothing_within_the_window():
    recent = RecentIds(timedelta(hours=24))
    n = 20 * SMALLEST
    ids = np.random.default_rng(0).permutation(n)
    assert add(recent, ids[: n // 2]).all()
    assert add(recent, ids).sum() == n - n // 2
    assert not add(recent, ids).any()


def test_ids_older_than_the_window_are_forgotten_when_room_is_needed():
    recent = RecentIds(timedelta(hours=2))
    add(recent, np.arange(SMALLEST // 2))
    fresh = np.arange(SMALLEST, SMALLEST + SMALLEST // 4)
    assert add(recent, fresh, ts=NOW + 10 * HOUR).all()
    assert len(recent) == len(fresh)


def test_ids_within_the_window_of_the_slowest_partition_are_kept():
    recent = RecentIds(timedelta(hours=2))
    old = np.arange(SMALLEST // 2)
    add(recent, old)
    add(recent, old + SMALLEST, ts=NOW + 10 * HOUR, oldest=NOW + HOUR)
    assert not add(recent, old, ts=NOW, oldest=NOW + HOUR).any()
