"""Aggregates over ranges equal a loop over the ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.features.ranges import folded, n_distinct, summed


@st.composite
def ranges(draw, *, moving=False):
    """Values and ranges of them; ``moving`` ones never go back."""
    values = draw(st.lists(st.integers(-3, 3), max_size=12))
    pairs = st.tuples(*[st.integers(0, len(values))] * 2).map(sorted)
    first, end = np.array(draw(st.lists(pairs, max_size=12)), dtype=np.int64).reshape(-1, 2).T
    if moving:
        first, end = np.sort(first), np.sort(end)
    return np.array(values, dtype=np.int64), first, end


def by_loop(values, first, end, aggregate):
    return [aggregate(values[a:b].tolist()) for a, b in zip(first, end, strict=True)]


@given(ranges())
def test_sums_are_differences_of_running_sums(drawn):
    values, first, end = drawn
    running = np.concatenate([[0], np.cumsum(values)])
    assert summed(running, first, end).tolist() == by_loop(*drawn, sum)


@given(ranges())
def test_a_fold_equals_a_loop(drawn):
    values, first, end = drawn
    assert folded(np.add, values, first, end, nothing=0).tolist() == by_loop(*drawn, sum)
    least = folded(np.minimum, values, first, end, nothing=9)
    assert least.tolist() == by_loop(*drawn, lambda held: min(held, default=9))


@given(ranges(moving=True))
def test_distinct_codes_equal_a_loop(drawn):
    assert n_distinct(*drawn).tolist() == by_loop(*drawn, lambda held: len(set(held)))


def test_a_fold_holds_nothing_of_the_values_around_its_range():
    # 1e300 and infinity stand next to the ranges [1, 3) and [4, 5)
    values = np.array([1e300, 1.0, 2.0, np.inf, 4.0])
    found = folded(np.add, values, np.array([1, 4]), np.array([3, 5]), nothing=0)
    assert found.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_a_fold_keeps_the_dtype(dtype):
    empty = np.array([], dtype=np.int64)
    assert folded(np.add, np.ones(3, dtype), empty, empty, nothing=0).dtype == dtype
