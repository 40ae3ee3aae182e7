"""Histories hold what was done strictly before the request."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000


def at(second):
    return START_US + second * 1_000_000


@pytest.fixture
def log():
    """User 1 clicks 10, 11 and 12 at seconds 0, 5 and 5; user 2 clicks 10 at second 3."""
    events = pl.DataFrame(
        {
            "user_id": [1, 2, 1, 1, 2],
            "item_id": [10, 10, 11, 12, 13],
            "ts": [START + timedelta(seconds=s) for s in (0, 3, 5, 5, 9)],
            "clicked": [True, True, True, True, False],
        }
    )
    return InteractionLog.from_events(events, items=Vocabulary([13, 12, 11, 10]))


def history(queries, query):
    rows = queries.log.item_rows[queries.starts[query] : queries.ends[query]]
    return queries.items.ids[rows].tolist()


def test_only_clicked_rows_are_interactions(log):
    assert len(log) == 4
    assert log.items.ids[log.item_rows].tolist() == [10, 11, 12, 10]
    assert log.ts.tolist() == [at(0), at(5), at(5), at(3)]


def test_without_the_column_every_row_is_a_click():
    events = pl.DataFrame({"user_id": [1], "item_id": [2], "ts": [START]})
    assert len(InteractionLog.from_events(events)) == 1


@pytest.mark.parametrize(("second", "expected"), [(0, []), (1, [10]), (5, [10]), (6, [10, 11, 12])])
def test_a_history_ends_before_the_instant_of_the_request(log, second, expected):
    assert history(log.queries(np.array([1]), at(second)), 0) == expected


def test_events_of_one_instant_keep_the_order_of_the_file(log):
    assert history(log.queries(np.array([1]), at(9)), 0)[1:] == [11, 12]


def test_each_query_has_its_own_instant(log):
    queries = log.queries(pl.Series([1, 2, 1]), np.array([at(1), at(9), at(6)]))
    assert [history(queries, q) for q in range(3)] == [[10], [10], [10, 11, 12]]
    assert queries.lengths.tolist() == [1, 1, 3]


def test_an_unknown_user_has_no_history(log):
    queries = log.queries(np.array([99, 1, -1]), at(9))
    assert queries.is_known.tolist() == [False, True, False]
    assert history(queries, 0) == []


def test_an_empty_log_knows_nobody():
    nothing = pl.DataFrame(
        schema={"user_id": pl.Int64, "item_id": pl.Int64, "ts": pl.Datetime("us", "UTC")}
    )
    assert log_lengths(InteractionLog.from_events(nothing)) == [0, 0]


def log_lengths(log):
    return log.queries(np.array([1, 2]), at(9)).lengths.tolist()


def test_events_of_other_users_and_items_are_left_out(log):
    events = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [10, 11, 10], "ts": [START] * 3})
    kept = InteractionLog.from_events(events, items=Vocabulary([10]), users=Vocabulary([2]))
    assert (kept.user_rows.tolist(), kept.item_rows.tolist()) == ([0], [0])


def test_taking_queries_keeps_their_histories(log):
    queries = log.queries(np.array([1, 2, 99]), at(9))
    taken = queries.take(queries.is_known)
    assert taken.user_ids.tolist() == [1, 2]
    assert history(queries.take(np.array([1, 0])), 1) == [10, 11, 12]
    assert len(queries.take(slice(0, 1))) == 1


def test_the_matrix_of_queries_marks_each_item_once():
    events = pl.DataFrame(
        {"user_id": [1, 1, 2], "item_id": [10, 10, 11], "ts": [START, START, START]}
    )
    log = InteractionLog.from_events(events)
    matrix = log.queries(np.array([2, 99, 1]), at(1)).matrix()
    assert matrix.toarray().tolist() == [[0, 1], [0, 0], [1, 0]]
    assert log.matrix().toarray().tolist() == [[1, 0], [0, 1]]
    assert matrix.dtype == np.float32
