"""Slabs beside a list an entity."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench.features.online.columns import NULL
from recbench.features.online.slabs import Slabs


def sizes(*values):
    return np.array(values, dtype=np.int64)


@given(st.integers(0, 2**32), st.sampled_from([1, 5, 300]), st.sampled_from([0, 3, 50]))
@settings(max_examples=40, deadline=None)
def test_slabs_hold_what_lists_hold(seed, n_entities, disorder):
    rng = np.random.default_rng(seed)
    slabs, lists, clock = Slabs(["a", "b"]), defaultdict(list), 0
    slabs.cover(n_entities)

    def forget_some(rows):
        """Drop the first event of every third entity."""
        begins, ends = slabs.spans(rows)
        rows = rows[(rows % 3 == 0) & (ends > begins)]
        slabs.drop(rows, np.ones_like(rows))
        for row in rows.tolist():
            lists[row] = lists[row][1:]

    for _ in range(12):
        n_rows = int(rng.integers(1, 4 * n_entities))
        # some entities grow much faster than others, so that slabs of all sizes come and go
        rows = np.sort((n_entities * rng.random(n_rows) ** 3).astype(np.int64))
        ts = clock + rng.integers(-disorder, disorder + 1, n_rows)
        order = np.lexsort((ts, rows))
        rows, ts, clock = rows[order], ts[order], clock + 2
        a = rng.choice([NULL, 3, 200, 2**40], n_rows)
        b = rng.choice([np.nan, 0.5], n_rows)
        unique, counts = np.unique(rows, return_counts=True)
        slabs.make_room(unique, counts, expire=forget_some)
        slabs.append(unique, counts, ts, {"a": a, "b": b})
        for row, event in zip(rows.tolist(), zip(ts, a, b, strict=True), strict=True):
            lists[row] = sorted([*lists[row], event], key=lambda each: each[0])
        gone = np.flatnonzero(rng.random(n_entities) < rng.choice([0, 0.2, 0.8]))
        slabs.clear(gone)
        lists |= {row: [] for row in gone.tolist()}
        for row in range(n_entities):
            require_equal(slabs, row, lists[row])


def require_equal(slabs, row, events):
    begin, end = slabs.span(row)
    assert slabs.ts[begin:end].tolist() == [ts for ts, _, _ in events]
    for place, name in enumerate(["a", "b"], start=1):
        held = slabs.columns[name].known(slice(begin, end)).tolist()
        assert list(map(or_none, held)) == [or_none(event[place]) for event in events]


def or_none(value):
    return None if value == NULL or value != value else value


def test_a_slab_that_is_outgrown_is_given_to_another_entity():
    slabs = Slabs([])
    slabs.cover(2)
    slabs.make_room(sizes(0), sizes(2), expire=lambda _: None)
    slabs.append(sizes(0), sizes(2), sizes(1, 2), {})
    first, _ = slabs.span(0)
    slabs.make_room(sizes(0), sizes(3), expire=lambda _: None)
    assert slabs.span(0) != (first, first + 2)
    slabs.make_room(sizes(1), sizes(2), expire=lambda _: None)
    assert slabs.span(1) == (first, first)


def test_entities_that_live_on_for_long_need_no_more_memory():
    slabs = Slabs(["a"])
    slabs.cover(10)
    rows, ones = np.arange(10), np.ones(10, dtype=np.int64)

    def keep_four(rows):
        begins, ends = slabs.spans(rows)
        slabs.drop(rows, np.maximum(ends - begins - 4, 0))

    taken = []
    for ts in range(500):
        slabs.make_room(rows, ones, expire=keep_four)
        slabs.append(rows, ones, np.full(10, ts), {"a": ones})
        taken.append(slabs.nbytes)
    assert max(taken[250:]) == taken[100]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 127, -127, NULL], np.int8),
        ([-128], np.int16),  # the smallest stands for null
        ([128, NULL], np.int16),
        ([2**15], np.int32),
        ([-(2**31)], np.int64),
        ([0.5], np.float64),
        ([np.nan], np.int8),  # no value yet
    ],
)
def test_a_column_is_as_narrow_as_its_values(values, dtype):
    slabs = Slabs(["a"])
    slabs.cover(1)
    slabs.make_room(sizes(0), sizes(len(values)), expire=lambda _: None)
    slabs.append(
        sizes(0), sizes(len(values)), np.zeros(len(values), dtype=np.int64), {"a": np.array(values)}
    )
    assert slabs.columns["a"].values.dtype == dtype
