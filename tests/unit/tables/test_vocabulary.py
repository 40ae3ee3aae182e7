"""Ids and rows: there and back, growing without renumbering."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.errors import InputError
from recbench.tables.vocabulary import Vocabulary


def test_rows_follow_the_order_given():
    vocabulary = Vocabulary([30, 10, 20])
    assert vocabulary.rows([10, 20, 30]).tolist() == [1, 2, 0]
    assert vocabulary.ids.tolist() == [30, 10, 20]
    assert len(vocabulary) == 3


def test_distinct_ids_are_taken_in_ascending_order():
    assert Vocabulary.of(pl.Series([30, 10, 30])).ids.tolist() == [10, 30]


def test_an_unknown_id_has_row_minus_one():
    assert Vocabulary([30, 10]).rows([10, 11, -5]).tolist() == [1, -1, -1]


EDGES = [-(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1]
ANY_ID = st.one_of(st.integers(-40, 40), st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1))


@given(held=st.lists(ANY_ID, unique=True), wanted=st.lists(ANY_ID), copies=st.integers(1, 50))
def test_few_ids_and_many_close_and_far_apart_are_found_alike(held, wanted, copies):
    row_of = {one: row for row, one in enumerate(held)}
    expected = [row_of.get(one, -1) for one in wanted] * copies
    assert Vocabulary(held).rows(wanted * copies).tolist() == expected


def test_rows_keep_the_shape_of_the_ids():
    rows = Vocabulary([5, 6]).rows(np.array([[5, 6], [7, 5]]))
    assert rows.tolist() == [[0, 1], [-1, 0]]


def test_an_empty_vocabulary_knows_nobody():
    assert Vocabulary([]).rows([1, 2]).tolist() == [-1, -1]
    assert Vocabulary([]).grow([2, 1]).ids.tolist() == [1, 2]


def test_growing_keeps_old_rows_and_appends_new_ids_ascending():
    grown = Vocabulary([30, 10]).grow([40, 10, 20, 40])
    assert grown.ids.tolist() == [30, 10, 20, 40]


def test_growing_by_known_ids_changes_nothing():
    vocabulary = Vocabulary([30, 10])
    assert vocabulary.grow([10]) is vocabulary


def test_ids_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="read-only"):
        Vocabulary([1]).ids[0] = 2


def test_a_vocabulary_does_not_follow_the_array_it_was_made_of():
    given = np.array([1, 2])
    vocabulary = Vocabulary(given)
    given[0] = 9
    assert vocabulary.ids.tolist() == [1, 2]


def test_equal_content_is_equal():
    assert Vocabulary([1, 2]) == Vocabulary([1, 2])
    assert hash(Vocabulary([1, 2])) == hash(Vocabulary([1, 2]))
    assert Vocabulary([1, 2]) != Vocabulary([2, 1])
    assert Vocabulary([1]) != [1]


def test_it_shows_its_size_and_first_ids():
    assert repr(Vocabulary([4, 3, 2, 1])) == "Vocabulary(4 ids, first [4, 3, 2])"


def test_it_is_read_as_it_was_written(tmp_path):
    vocabulary = Vocabulary([30, -10, 2**63 - 1])
    vocabulary.write(tmp_path / "users.parquet", column="user_id")
    assert Vocabulary.read(tmp_path / "users.parquet", column="user_id") == vocabulary


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([7, 8, 7], "must be unique, but 7 occurs twice"),
        ([2**63], f"must fit into int64, but {2**63} does not"),
        ([2**64], f"must be integers, got object: {2**64}"),
        (pl.Series([2**63], dtype=pl.UInt64), f"must fit into int64, but {2**63} does not"),
        ([1.5], r"must be integers, got float64: .*1\.5"),
        (["a"], "must be integers, got .*'a'"),
        (pl.Series([1, None]), "must not be null, but 1 of 2 are"),
    ],
)
def test_ids_that_cannot_be_rows_are_refused(ids, message):
    with pytest.raises(InputError, match=message):
        Vocabulary(ids)
