"""Baselines of sequences, of lately clicked items and of sparse weights, worked out by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.models.baselines import BPR, EASE, SLIM, VSKNN, DecayedEASE, Markov, PersonalFrequency
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0
ITEMS = [10, 20, 30, 40]


def at(days):
    return int((START.timestamp() + days * DAY_S) * 1e6)


def log_of(*clicks, items=ITEMS):
    """Clicks as (user, item, day)."""
    users, item_ids, days = zip(*clicks, strict=True)
    ts = [START + timedelta(days=day) for day in days]
    events = pl.DataFrame({"user_id": users, "item_id": item_ids, "ts": ts})
    return InteractionLog.from_events(events, items=Vocabulary(items))


def scores(model, log, *users, days=1_000):
    return model.score_items(log.queries(np.array(users), at(days)))


def test_personal_frequency_halves_each_time_taken():
    # asked at day 4, half-life 2: taken at days 0 and 2, 1/4 + 1/2; the other never
    log = log_of((1, 10, 0), (1, 10, 2), (2, 20, 1))
    model = PersonalFrequency(log.items, half_life_s=2 * DAY_S)
    assert scores(model, log, 1, days=4).tolist() == [[0.75, 0, 0, 0]]


def test_markov_counts_what_followed_the_last_item():
    # after 10 came 20 twice and 30 once
    log = log_of((1, 10, 0), (1, 20, 1), (2, 10, 0), (2, 20, 1), (3, 10, 0), (3, 30, 1), (4, 10, 0))
    model = Markov.fit(log, gap=1, two_way=False)
    assert scores(model, log, 4)[0] == pytest.approx([0, 2 / 3, 1 / 3, 0])


def test_markov_counts_pairs_farther_apart_less_and_both_ways():
    # 10 -> 20 -> 30: next to 20 are 10 and 30, at weight 1 each; next to 30 is 20 at 1, 10 at 1/2
    log = log_of((1, 10, 0), (1, 20, 1), (1, 30, 2), (2, 20, 0), (3, 30, 0))
    found = scores(Markov.fit(log, gap=2), log, 2, 3)
    assert found[0] == pytest.approx([1 / 2, 0, 1 / 2, 0])
    assert found[1] == pytest.approx([1 / 3, 2 / 3, 0, 0])


def test_markov_asks_the_last_events_the_older_ones_less():
    # 10 -> 30 and 20 -> 40 for certain; asked with 10, then 20: 1 for what follows 20, 1/2 for 10
    log = log_of((1, 10, 0), (1, 30, 1), (2, 20, 0), (2, 40, 1), (3, 10, 0), (3, 20, 1))
    past = log_of((1, 10, 0), (1, 30, 1), (2, 20, 0), (2, 40, 1))
    found = scores(Markov.fit(past, gap=1, two_way=False, depth=2), log, 3, 1, 9)
    assert found[0] == pytest.approx([0, 0, 1 / 2, 1])
    assert found[1] == pytest.approx([0, 0, 1 / 2, 0])  # nothing follows 30
    assert not found[2].any()


def test_markov_does_not_join_sequences_of_two_users():
    log = log_of((1, 10, 0), (2, 20, 0))
    assert not scores(Markov.fit(log), log, 1).any()


def test_vsknn_weighs_neighbours_by_what_they_share_and_when():
    # asked with 10 then 20 (weights 1/2 and 1, norm root of 5/4):
    # session 2 = {20, 30}: cosine 1 / root(2 * 5/4), the shared item is the last: no decay
    # session 3 = {10, 40}: cosine 1/2 of that, the shared item one step back: times .9
    log = log_of((1, 10, 5), (1, 20, 6), (2, 20, 0), (2, 30, 1), (3, 10, 0), (3, 40, 1))
    past = log_of((2, 20, 0), (2, 30, 1), (3, 10, 0), (3, 40, 1))
    found = scores(VSKNN.fit(past), log, 1)[0]
    idf = 1 + np.log(2 / 1)
    near = 1 / np.sqrt(2 * 1.25)
    assert found == pytest.approx(np.array([0.45, 1, 1, 0.45]) * near * idf)


def test_vsknn_looks_at_the_newest_sessions_only():
    past = log_of((2, 10, 0), (2, 30, 0), (3, 10, 5), (3, 40, 5))
    asked = log_of((1, 10, 9))
    assert np.flatnonzero(scores(VSKNN.fit(past, newest=1), asked, 1)[0]).tolist() == [0, 3]


def test_ease_without_decay_is_ease():
    rng = np.random.default_rng(0)
    clicks = [(u, i, 0) for u in range(30) for i in ITEMS if rng.random() < 0.5]
    log = log_of(*clicks)
    plain = EASE.fit(log, regularisation=5.0)
    decayed = DecayedEASE.fit(
        log, at=at(9), half_life_s=np.inf, query_half_life_s=np.inf, regularisation=5.0
    )
    expected = scores(plain, log, 1, 2)
    np.testing.assert_allclose(scores(decayed, log, 1, 2), expected, rtol=1e-5, atol=1e-6)


def test_decayed_ease_forgets_old_company():
    # 10 went with 20 long ago and goes with 30 now
    old = [(user, item, 0) for user in range(9) for item in (10, 20)]
    new = [(user, item, 100) for user in range(20, 29) for item in (10, 30)]
    log = log_of(*old, *new, (99, 10, 100))
    model = DecayedEASE.fit(log, at=at(101), half_life_s=10 * DAY_S, regularisation=1.0)
    found = scores(model, log, 99, days=101)[0]
    assert found[2] > 0.3
    assert found[1] < 0.1 * found[2]


def test_decayed_ease_keeps_the_items_of_most_weight():
    log = log_of((1, 10, 0), (2, 10, 0), (1, 20, 0), (2, 20, 0), (1, 30, 0))
    assert DecayedEASE.fit(log, at=at(1), most_items=2).kept.tolist() == [0, 1]


def test_slim_over_all_neighbours_is_the_elastic_net():
    rng = np.random.default_rng(1)
    log = log_of(*[(u, i, 0) for u in range(40) for i in ITEMS if rng.random() < 0.6])
    model = SLIM.fit(log, k=3, l1=0.5, l2=2.0, sweeps=200)
    gram = (log.matrix().T @ log.matrix()).toarray().astype(float)
    weights = model.weights.toarray()
    # at the optimum the gradient is 0 where a weight is positive, and not negative elsewhere
    slope = gram @ weights - gram + 2.0 * weights + 0.5
    free = ~np.eye(4, dtype=bool)
    assert np.diag(weights).tolist() == [0, 0, 0, 0]
    assert slope[free & (weights > 0)] == pytest.approx(0, abs=1e-4)
    assert (slope[free & (weights == 0)] > -1e-4).all()


@pytest.mark.parametrize("kind", [EASE, DecayedEASE])
def test_weights_lie_as_a_query_reads_them(kind):
    # a sparse history times columns that lie together copies all weights, once a query
    log = log_of((1, 10, 0), (1, 20, 1), (2, 20, 2), (2, 30, 3), (3, 30, 4), (3, 10, 5))
    asked = {"at": at(9)} if kind is DecayedEASE else {}
    assert kind.fit(log, **asked).weights.flags.c_contiguous


def test_bpr_prefers_what_likeminded_users_took():
    even = [(u, i, 0) for u in range(20) for i in (10, 20)]
    odd = [(u, i, 0) for u in range(20, 40) for i in (30, 40)]
    log = log_of(*even, *odd, (99, 10, 0))
    found = scores(BPR.fit(log, factors=4, iterations=50, seed=1), log, 99)[0]
    assert found[1] > max(found[2], found[3])


@pytest.mark.parametrize(
    ("fit", "value"),
    [
        (lambda log: Markov.fit(log, gap=0), "got 0 and 1"),
        (lambda log: Markov.fit(log, depth=0), "got 3 and 0"),
        (lambda log: VSKNN.fit(log, k=0), "got 0 and 1000"),
        (lambda log: SLIM.fit(log, l2=0.0), "got 100, 20, 1.0, 0.0"),
        (lambda log: BPR.fit(log, factors=0), "got 0, 100, 0.05"),
        (lambda log: DecayedEASE.fit(log, at=at(1), most_items=0), "50.0, 0"),
        (lambda log: PersonalFrequency(log.items, half_life_s=0.0), "got 0.0"),
    ],
)
def test_impossible_dials_are_refused(fit, value):
    with pytest.raises(InputError, match=value):
        fit(log_of((1, 10, 0), (1, 20, 1)))
