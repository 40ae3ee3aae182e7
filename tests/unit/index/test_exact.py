"""Exact top-k: order, ties, gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recbench.errors import InputError
from recbench.index.exact import ExactIndex, top_k

INF = np.inf


def floats(*rows):
    return np.array(rows, dtype=np.float32)


def test_best_first():
    rows, scores = top_k(floats([1, 3, 2], [9, 7, 8]), k=2)
    assert rows.tolist() == [[1, 2], [0, 2]]
    assert scores.tolist() == [[3, 2], [9, 8]]


@pytest.mark.parametrize("n_columns", [3, 40])  # whole and partial sort
def test_ties_go_to_the_lower_row(n_columns):
    rows, _ = top_k(np.ones((1, n_columns), dtype=np.float32), k=2)
    assert rows.tolist() == [[0, 1]]


@pytest.mark.parametrize("n_columns", [4, 40])
def test_minus_infinity_is_never_returned(n_columns):
    scores = np.full((1, n_columns), -INF, dtype=np.float32)
    scores[0, 2] = -5
    rows, values = top_k(scores, k=2)
    assert rows.tolist() == [[2, -1]]
    assert values.tolist() == [[-5, -INF]]


def test_rows_end_in_minus_one_where_there_are_fewer_columns_than_k():
    rows, values = top_k(floats([1, 2]), k=4)
    assert rows.tolist() == [[1, 0, -1, -1]]
    assert values.tolist() == [[2, 1, -INF, -INF]]


def test_excluded_positions_are_never_returned():
    rows, _ = top_k(
        floats([1, 3, 2], [1, 3, 2]), k=3, excluded=(np.array([0, 1]), np.array([1, 2]))
    )
    assert rows.tolist() == [[2, 0, -1], [1, 0, -1]]


def test_no_queries_and_no_columns_give_no_rows():
    assert top_k(np.empty((0, 5), dtype=np.float32), k=2)[0].shape == (0, 2)
    assert top_k(np.empty((1, 0), dtype=np.float32), k=2)[0].tolist() == [[-1, -1]]


def test_nan_is_refused():
    with pytest.raises(InputError, match="2 of 4 scores are NaN"):
        top_k(floats([np.nan, 1], [2, np.nan]), k=1)


def test_k_must_be_positive():
    with pytest.raises(InputError, match="`k` must be at least 1, got 0"):
        top_k(floats([1]), k=0)


few_values = st.sampled_from([-INF, -1.0, -0.0, 0.0, 0.5, 1.0, INF])


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 60)), elements=few_values),
    st.integers(1, 12),
)
def test_top_k_equals_a_stable_sort_of_each_row(scores, k):
    rows, values = top_k(scores.copy(), k=k)
    for row, given_scores in enumerate(scores):
        finite = [j for j in range(len(given_scores)) if given_scores[j] > -INF]
        expected = sorted(finite, key=lambda j, s=given_scores: (-s[j], j))[:k]
        expected += [-1] * (k - len(expected))
        assert rows[row].tolist() == expected
        assert values[row].tolist() == [given_scores[j] if j >= 0 else -INF for j in expected]


def test_the_index_searches_by_inner_product():
    index = ExactIndex(floats([1, 0], [0, 1], [1, 1]))
    rows, scores = index.search(floats([2, 1]), k=2)
    assert len(index) == 3
    assert rows.tolist() == [[2, 0]]  # 2 + 1, then 2
    assert scores.tolist() == [[3, 2]]


def test_the_index_leaves_out_what_is_excluded():
    index = ExactIndex(floats([1], [2]))
    rows, _ = index.search(floats([1]), k=1, excluded=(np.array([0]), np.array([1])))
    assert rows.tolist() == [[0]]


def test_the_index_refuses_queries_of_another_dimension():
    with pytest.raises(InputError, match=r"have \(3,\) dimensions, candidates \(2,\)"):
        ExactIndex(floats([1, 0])).search(floats([1, 2, 3]), k=1)


def test_a_mask_says_what_may_be_shown():
    index = ExactIndex(floats([1], [3], [2]))
    allowed = np.array([True, False, True])
    assert index.search(floats([1]), k=3, allowed=allowed)[0].tolist() == [[2, 0, -1]]
    with pytest.raises(InputError, match=r"expected \(3,\) bool, got \(2,\) bool"):
        index.search(floats([1]), k=3, allowed=allowed[:2])


def test_candidates_come_change_and_go():
    index = ExactIndex(floats([1], [3]), np.array([1]))
    grown = index.with_candidates(np.array([2, 0]), floats([5], [4]))
    assert grown.search(floats([1]), k=3)[0].tolist() == [[2, 0, -1]]  # row 1 stays hidden
    back = grown.with_candidates(np.array([1]), floats([9])).without(np.array([2]))
    assert back.search(floats([1]), k=3)[0].tolist() == [[1, 0, -1]]
    assert index.search(floats([1]), k=1)[1].tolist() == [[1]]  # as it was
    assert back.n_bytes == 3 * 4 + 8


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([3], "expected 2 to 2, got up to 3"),
        ([-1], "distinct and not negative"),
        ([0, 0], "distinct and not negative"),
    ],
)
def test_rows_that_leave_a_gap_or_come_twice_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        ExactIndex(floats([1], [3])).with_candidates(
            np.array(rows), np.ones((len(rows), 1), dtype=np.float32)
        )


def test_embeddings_that_do_not_fit_their_rows_are_refused():
    with pytest.raises(InputError, match=r"expected \(2, D\), got \(1, 1\)"):
        ExactIndex(floats([1], [3])).with_candidates(np.array([0, 1]), floats([1]))
    with pytest.raises(InputError, match=r"lie in \[0, 2\), got 2 to 2"):
        ExactIndex(floats([1], [3])).without(np.array([2]))
