"""Lists from scores: masking, order, batches."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation import recommender
from recbench.evaluation.recommender import as_frame, recommend
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

ITEMS = Vocabulary([10, 20, 30])
LOG = InteractionLog.from_events(
    pl.DataFrame(
        {
            "user_id": [1, 2, 2],
            "item_id": [30, 10, 20],
            "ts": [datetime(2026, 1, 1, tzinfo=UTC)] * 3,
        }
    ),
    items=ITEMS,
)
AFTER = int(LOG.ts.max()) + 1


class Fixed:
    """The same scores for everybody."""

    items = ITEMS

    def __init__(self, *scores):
        self.scores = np.array(scores, dtype=np.float32)

    def score_items(self, queries):
        return np.tile(self.scores, (len(queries), 1))


def answered(model, users, **options):
    return recommend(model, LOG.queries(np.array(users), AFTER), **options).rows()


def test_lists_are_the_best_items_without_the_history():
    assert answered(Fixed(1, 2, 3), [1, 2, 7], k=2) == [
        (1, 20, 1, 2.0),
        (1, 10, 2, 1.0),
        (2, 30, 1, 3.0),
        (7, 30, 1, 3.0),
        (7, 20, 2, 2.0),
    ]


def test_the_history_stays_where_repeats_are_allowed():
    assert answered(Fixed(1, 2, 3), [1], k=1, repeats=True) == [(1, 30, 1, 3.0)]


def test_equal_scores_are_ordered_by_item_row():
    assert [item for _, item, _, _ in answered(Fixed(1, 1, 1), [7], k=3)] == [10, 20, 30]


def test_items_scored_minus_infinity_are_never_shown():
    assert answered(Fixed(1, -np.inf, 3), [7], k=3) == [(7, 30, 1, 3.0), (7, 10, 2, 1.0)]


def test_batches_make_no_difference(monkeypatch):
    whole = answered(Fixed(1, 2, 3), [2, 1, 7, 2, 1], k=3)
    monkeypatch.setattr(recommender, "QUERIES_PER_BATCH", 2)
    assert answered(Fixed(1, 2, 3), [2, 1, 7, 2, 1], k=3) == whole


def test_no_queries_give_an_empty_frame_of_the_same_schema():
    lists = recommend(Fixed(1, 2, 3), LOG.queries(np.array([], dtype=np.int64), AFTER))
    assert lists.schema == c.RECOMMENDATION_DTYPES
    assert len(lists) == 0


def test_rows_of_minus_one_are_left_out():
    rows, scores = np.array([[2, -1]]), np.array([[0.5, -np.inf]], dtype=np.float32)
    assert as_frame(np.array([4]), rows, scores, items=ITEMS).rows() == [(4, 30, 1, 0.5)]


def test_queries_of_another_catalogue_are_refused():
    model = Fixed(1, 2, 3)
    model.items = Vocabulary([10, 20, 40])
    with pytest.raises(InputError, match=r"first \[10, 20, 30\].*first \[10, 20, 40\]"):
        answered(model, [1])
