"""Baselines on matrices small enough to work out by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.models.baselines import (
    ALS,
    EASE,
    ItemKNN,
    Popularity,
    RecencyPopularity,
    WithFallback,
    WithRecencyPrior,
)
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0


def at(days):
    return int((START.timestamp() + days * DAY_S) * 1e6)


def log_of(*clicks, items=None):
    """Clicks as (user, item) or (user, item, day)."""
    users, item_ids, days = zip(*((*click, 0)[:3] for click in clicks), strict=True)
    events = pl.DataFrame(
        {
            "user_id": users,
            "item_id": item_ids,
            "ts": [START + timedelta(days=day) for day in days],
        }
    )
    return InteractionLog.from_events(events, items=None if items is None else Vocabulary(items))


def scores(model, log, *users):
    return model.score_items(log.queries(np.array(users), at(1_000)))


def test_popularity_counts_clicks_and_is_the_same_for_everybody():
    log = log_of((1, 10), (2, 10), (2, 20), (2, 20), items=[10, 20, 30])
    model = Popularity.fit(log)
    assert scores(model, log, 1, 99).tolist() == [[2, 2, 0], [2, 2, 0]]


def test_recency_popularity_halves_a_click_every_half_life():
    # asked at day 4 with half-life 2: item 10 was clicked at days 0 and 2, 1/4 + 1/2;
    # item 20 at day 3, 2 ** -1/2, and at day 4, which is not before
    log = log_of((1, 10, 0), (2, 10, 2), (1, 20, 3), (2, 20, 4))
    model = RecencyPopularity.fit(log, at=at(4), half_life_s=2 * DAY_S)
    assert scores(model, log, 1)[0] == pytest.approx([0.75, 2**-0.5])


def test_item_knn_is_the_shrunk_cosine():
    # users of 10: 1, 2, 3; of 20: 1, 2; of 30: 3. Common: (10, 20) two, (10, 30) one
    log = log_of((1, 10), (2, 10), (3, 10), (1, 20), (2, 20), (3, 30), (3, 30))
    similarity = ItemKNN.fit(log, shrink=5).similarity.toarray()
    s12, s13 = 2 / (np.sqrt(3 * 2) + 5), 1 / (np.sqrt(3) + 5)
    np.testing.assert_allclose(similarity, [[0, s12, s13], [s12, 0, 0], [s13, 0, 0]], rtol=1e-6)


def test_item_knn_sums_over_the_distinct_items_of_the_history():
    log = log_of((1, 10), (2, 10), (1, 20), (2, 20), (1, 30), (3, 20), (3, 10), (3, 10))
    model = ItemKNN.fit(log, shrink=0)
    # user 3 has 10 and 20; 30 shares user 1 with both, each of which has 3 users
    assert scores(model, log, 3)[0] == pytest.approx([1, 1, 2 / np.sqrt(3)])


def test_item_knn_keeps_the_nearest_of_each_candidate_ties_by_lower_row():
    # candidate 40 is as near to 10, 20 and 30: with k = 1 only 10 is kept
    log = log_of((1, 10), (1, 40), (2, 20), (2, 40), (3, 30), (3, 40))
    similarity = ItemKNN.fit(log, k=1, shrink=0).similarity.toarray()
    one = 1 / np.sqrt(3)
    expected = [[0, 0, 0, one], [0, 0, 0, 0], [0, 0, 0, 0], [one, one, one, 0]]
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


def test_item_knn_takes_items_without_clicks():
    log = log_of((1, 10), (1, 20), items=[5, 10, 15, 20])
    # user 1 alone has both: 1 over (1 times 1, plus 0)
    assert scores(ItemKNN.fit(log, shrink=0), log, 1)[0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("k", "shrink"), [(0, 50), (1, -1)])
def test_item_knn_refuses_no_neighbours_and_negative_shrinkage(k, shrink):
    with pytest.raises(InputError, match=f"at least 0, got {k}, {shrink}"):
        ItemKNN.fit(log_of((1, 10)), k=k, shrink=shrink)


def random_log(n_users=12, n_items=7, seed=0):
    rng = np.random.default_rng(seed)
    clicked = rng.random((n_users, n_items)) < 0.4
    return log_of(*zip(*np.nonzero(clicked), strict=True), items=range(n_items))


def test_ease_equals_the_closed_form():
    log = random_log()
    dense = log.matrix().toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 3.0 * np.eye(7))
    # B[i, j] = -P[i, j] / P[j, j], and 0 on the diagonal
    expected = [
        [0 if i == j else -inverse[i, j] / inverse[j, j] for j in range(7)] for i in range(7)
    ]
    model = EASE.fit(log, regularisation=3.0)
    np.testing.assert_allclose(model.weights, expected, atol=1e-6)
    np.testing.assert_allclose(
        scores(model, log, *log.users.ids), dense @ np.array(expected), atol=1e-5
    )


def test_ease_of_two_items():
    # both users have both items: gram [[2, 2], [2, 2]] + 1 = [[3, 2], [2, 3]]; its inverse is
    # [[3, -2], [-2, 3]] / 5, so each weight is 2 / 3
    log = log_of((1, 10), (1, 20), (2, 10), (2, 20))
    np.testing.assert_allclose(
        EASE.fit(log, regularisation=1.0).weights, [[0, 2 / 3], [2 / 3, 0]], rtol=1e-6
    )


def test_ease_needs_regularisation():
    with pytest.raises(InputError, match="positive, got 0"):
        EASE.fit(log_of((1, 10)), regularisation=0)


def checkerboard(n):
    """Even users like even items, odd users odd ones; user u has not met item u."""
    return log_of(*((u, i) for u in range(n) for i in range(n) if (u - i) % 2 == 0 and u != i))


def test_als_finds_the_hidden_square_of_a_checkerboard():
    log = checkerboard(20)
    queries = log.queries(log.users.ids, at(1_000))
    predicted = ALS.fit(log, factors=3, regularisation=0.1, alpha=5.0).score_items(queries)
    predicted[queries.matrix().nonzero()] = -np.inf
    assert predicted.argmax(axis=1).tolist() == list(range(20))


def test_als_solves_the_query_from_its_history():
    log = random_log()
    model = ALS.fit(log, factors=3, alpha=4.0, regularisation=0.5)
    y, x = model.item_factors.astype(np.float64), log.matrix().toarray()[0]
    # (Y' C Y + r I) p = Y' C x, with confidence 4 at the history and 1 elsewhere
    confidence = np.diag(np.where(x > 0, 4.0, 1.0))
    solved = np.linalg.solve(y.T @ confidence @ y + 0.5 * np.eye(3), y.T @ confidence @ x)
    np.testing.assert_allclose(scores(model, log, log.users.ids[0])[0], y @ solved, rtol=1e-5)


def test_als_depends_on_the_seed_alone():
    log = random_log()
    one, again, other = (ALS.fit(log, factors=3, seed=seed).item_factors for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"factors": 0}, "got 0, 15, 1.0, 1.0"),
        ({"iterations": 0}, "got 16, 0, 1.0, 1.0"),
        ({"regularisation": 0.0}, "got 16, 15, 0.0, 1.0"),
        ({"alpha": -1.0}, "got 16, 15, 1.0, -1.0"),
    ],
)
def test_als_refuses_what_cannot_be_solved(bad, told):
    with pytest.raises(InputError, match=told):
        ALS.fit(log_of((1, 10)), **bad)


@pytest.fixture
def log():
    return log_of((1, 10), (2, 10), (2, 20), (3, 20), (3, 30), (4, 30))


def test_the_fallback_answers_queries_without_history_only(log):
    model, fallback = ItemKNN.fit(log, shrink=0), Popularity.fit(log)
    both = scores(WithFallback(model, fallback), log, 99, 1, 98)
    assert both[[0, 2]].tolist() == [[2, 2, 2], [2, 2, 2]]
    assert np.array_equal(both[1], scores(model, log, 1)[0])


def test_a_recency_prior_is_added_to_scores_of_largest_one(log):
    model = ItemKNN.fit(log, shrink=0)
    prior = RecencyPopularity(log.items, np.array([1, 4, 2], dtype=np.float32), DAY_S)
    blended = scores(WithRecencyPrior(model, prior, weight=0.5), log, 3)[0]
    # user 3 has 20 and 30: scores (1/2, 1/2, 1/2) by hand, largest 1/2, so all 1
    assert blended == pytest.approx([1 + 0.125, 1 + 0.5, 1 + 0.25])


def test_a_query_without_history_gets_the_order_of_the_prior(log):
    prior = RecencyPopularity(log.items, np.array([1, 4, 2], dtype=np.float32), DAY_S)
    blended = scores(WithRecencyPrior(ItemKNN.fit(log), prior, weight=0.5), log, 99)[0]
    assert blended == pytest.approx([0.125, 0.5, 0.25])


def test_a_recency_prior_leaves_hidden_items_hidden(log):
    class Hides:
        items = log.items

        def score_items(self, queries):
            return np.tile(np.array([2, -np.inf, -4], dtype=np.float32), (len(queries), 1))

    prior = RecencyPopularity(log.items, np.ones(3, dtype=np.float32), DAY_S)
    blended = scores(WithRecencyPrior(Hides(), prior, weight=0.5), log, 1)[0]
    assert blended.tolist() == [1.0, -np.inf, -0.5]  # 2/4 + 1/2, hidden, -4/4 + 1/2


@pytest.mark.parametrize("weight", [-0.5, np.inf, np.nan])
def test_a_recency_prior_has_a_weight_from_zero_up(log, weight):
    prior = RecencyPopularity(log.items, np.ones(3, dtype=np.float32), DAY_S)
    with pytest.raises(InputError, match=f"finite, got {weight}"):
        WithRecencyPrior(Popularity.fit(log), prior, weight=weight)


def test_two_catalogues_cannot_be_blended(log):
    other = log_of((1, 10))
    message = r"\(3 ids, first \[10, 20, 30\]\), Vocabulary\(1 ids, first \[10\]\)"
    with pytest.raises(InputError, match=f"Model and fallback .*{message}"):
        WithFallback(Popularity.fit(log), Popularity.fit(other))
    prior = RecencyPopularity.fit(other, at=at(1), half_life_s=DAY_S)
    with pytest.raises(InputError, match=f"Model and prior .*{message}"):
        WithRecencyPrior(Popularity.fit(log), prior, weight=1.0)
