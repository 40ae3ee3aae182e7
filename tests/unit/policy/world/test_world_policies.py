"""Policies of the simulated world, on towers that are drawn, not trained."""

from dataclasses import replace

import numpy as np
import pytest

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.protocol import Asked, NewItems
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.policy.constraints import ExposureFloor
from recbench.policy.world.bandit import BanditDials, BanditInWorld
from recbench.policy.world.context import WorldContext
from recbench.policy.world.drawn import DrawnPolicy, Switched, drawn_slates, softened
from recbench.policy.world.retrieval import TowerRetrieval

SETTINGS = WorldSettings(
    days=1, n_users=30, n_live=60, slate=1, requests_per_user_day=20.0, social_gain=0.0
)
HOUR = {"tick_s": 3600.0, "until_h": 12.0}


@pytest.fixture(scope="module")
def world():
    return World.drawn(SETTINGS, seed=1)


def a_retrieval(world, **more):
    rng = np.random.default_rng(0)
    n = int(np.searchsorted(world.items.born_h, 0.0))
    return TowerRetrieval(
        rng.normal(size=(30, 4)), rng.normal(size=(n, 4)), world.items.category[:n], **more
    )


def asked_of(items, users=(0, 1)):
    n = len(users)
    return Asked(np.arange(n), np.array(users), np.zeros(n), np.array(items), 1)


def test_pool_is_the_best_of_the_towers_and_keeps_room_for_what_is_new():
    candidates = np.array([[1.0], [3.0], [2.0], [0.0]])
    retrieval = TowerRetrieval(np.ones((2, 1)), candidates, np.array([0, 1, 0, 1]), new_frac=0.5)
    pool = retrieval.pool(asked_of([0, 1, 2, 3]), 2)
    assert pool.item_ids.tolist() == [[1, 2], [1, 2]]
    new = NewItems(np.array([4, 5]), np.array([0, 7]), np.zeros(2), np.ones(2))
    retrieval.meet(new)
    retrieval.meet(new)  # once more changes nothing
    # like the mean of its category, or of all: 1.5 each
    assert retrieval.candidates[4:].tolist() == [[1.5], [1.5]]
    pool = retrieval.pool(asked_of([0, 1, 2, 3, 4, 5]), 4)
    assert sorted(pool.item_ids[0].tolist()) == [1, 2, 4, 5]
    assert pool.scores[0].tolist() == [3.0, 2.0, 1.5, 1.5]
    assert retrieval.pool(asked_of([0, 1, 99]), 9).item_ids.shape == (2, 2)


def test_towers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"queries \(2, 1\), candidates \(3, 2\)"):
        TowerRetrieval(np.ones((2, 1)), np.ones((3, 2)), np.zeros(3, dtype=int))
    with pytest.raises(InputError, match=r"`new_frac` must lie in \[0, 1\], got 2"):
        TowerRetrieval(np.ones((2, 1)), np.ones((3, 1)), np.zeros(3, dtype=int), new_frac=2)


def test_softened_scores_keep_their_even_share():
    chances = softened(np.array([[1.0, 3.0, 2.0]]), temperature=0.0, even=0.3)
    assert chances[0] == pytest.approx([0.1, 0.8, 0.1])
    assert softened(np.zeros((1, 4)), temperature=1.0, even=0.0)[0] == pytest.approx([0.25] * 4)
    with pytest.raises(InputError, match="got -1 and 0"):
        softened(np.zeros((1, 4)), temperature=-1, even=0)


def test_slates_are_drawn_as_often_as_their_propensities_say():
    n = 20_000
    asked = Asked(np.arange(n), np.zeros(n, int), np.zeros(n), np.arange(4), 2)
    retrieval = TowerRetrieval(np.ones((1, 1)), np.arange(4.0)[:, None], np.zeros(4, int))
    pool = retrieval.pool(asked, 3)
    chances = softened(pool.scores, temperature=1.0, even=0.2)
    slates = drawn_slates(asked, pool, chances, seed=3)
    joint = slates.propensities.prod(axis=1)
    for pair in {tuple(row) for row in slates.item_ids.tolist()}:
        rows = (slates.item_ids == pair).all(axis=1)
        chance = joint[rows][0]
        assert joint[rows] == pytest.approx(chance)
        assert abs(rows.mean() - chance) < 4.5 * np.sqrt(chance * (1 - chance) / n)
    sure = softened(pool.scores, temperature=0.0, even=0.0)
    with pytest.raises(InputError, match="fewer than 2 candidates with a chance"):
        drawn_slates(asked, pool, sure, seed=3)


def test_greedy_policy_shows_the_best_and_says_that_it_is_sure(world):
    retrieval = a_retrieval(world)
    shown = run(world, DrawnPolicy(retrieval, even=0.0), **HOUR)
    assert (shown.exposures.propensities == 1).all()
    softly = run(world, DrawnPolicy(a_retrieval(world), even=0.5, n_candidates=10), **HOUR)
    assert softly.exposures.propensities.min() == pytest.approx(0.05)


def test_policy_that_takes_over_is_told_of_all_that_was_before(world):
    told = []

    class Counts(UniformPolicy):
        def observe(self, feedback):
            told.append(len(feedback.exposures))

    shown = run(world, Switched(UniformPolicy(), (6.0, Counts)), **HOUR)
    assert sum(told) == len(shown)


@pytest.mark.parametrize(
    "dials",
    [
        BanditDials(rule="greedy", epsilon=0.2),
        BanditDials(rule="ucb", epsilon=0.2),
        BanditDials(rule="thompson", epsilon=0.2),
        BanditDials(rule="thompson", epsilon=0.2, neural=True, relearn_h=3.0),
    ],
)
def test_bandits_learn_from_every_exposure_whose_window_is_over(world, dials):
    bandit = BanditInWorld(WorldContext(a_retrieval(world)), dials)
    shown = run(world, bandit, **HOUR)
    waiting = len(bandit.pending)
    assert bandit.statistics.n_events == len(shown) - waiting
    assert waiting < len(shown) / 4
    assert shown.exposures.propensities.min() >= 0.2 / 100 - 1e-12
    assert bandit.statistics.reward_sum <= shown.clicked.sum()
    assert bandit.statistics.reward_sum > 0


def test_exposures_before_the_towers_instant_are_counted_only(world):
    bandit = BanditInWorld(WorldContext(a_retrieval(world)), BanditDials(), learn_from_h=6.0)
    shown = run(world, bandit, **HOUR)
    later = int((shown.exposures.hours >= 6.0).sum())
    assert bandit.statistics.n_events == later - len(bandit.pending)


def test_clicks_that_are_known_late_are_lost_and_counted(world):
    slow = World.drawn(replace(SETTINGS, label_delay_s=7_200.0), seed=1)
    bandit = BanditInWorld(WorldContext(a_retrieval(slow)), BanditDials(window_h=0.25))
    shown = run(slow, bandit, **HOUR)
    assert bandit.pending.n_late > 0
    assert bandit.statistics.reward_sum < shown.clicked.sum() / 2


def test_floor_shows_more_of_what_is_protected(world):
    def share(floor):
        context = WorldContext(a_retrieval(world))
        kept = {} if floor is None else {"floor": floor, "is_protected": lambda ids: ids % 10 == 0}
        shown = run(world, BanditInWorld(context, BanditDials(), **kept), **HOUR)
        return float((shown.exposures.item_ids % 10 == 0).mean())

    floor = ExposureFloor(least=0.6, rate=0.2)
    assert share(floor) > share(None) + 0.1
    assert floor.price > 0


def test_bandit_without_support_or_with_half_a_floor_is_refused(world):
    with pytest.raises(InputError, match=r"`epsilon` must lie in \(0, 1\], got 0"):
        BanditDials(epsilon=0)
    with pytest.raises(InputError, match="go together"):
        BanditInWorld(
            WorldContext(a_retrieval(world)), BanditDials(), floor=ExposureFloor(least=0.5)
        )


def test_features_of_a_candidate_follow_what_is_known(world):
    context = WorldContext(a_retrieval(world))
    bandit = BanditInWorld(context, BanditDials())
    run(world, bandit, **HOUR)
    users, items = np.zeros(3, int), np.arange(3)
    features = context.features(users, items, np.full(3, 12.0))
    assert features.shape == (3, context.dim)
    assert np.isfinite(features).all()
    query, candidates = context.retrieval.queries[0], context.retrieval.candidates[:3]
    assert features[:, 1] == pytest.approx(candidates @ query)
