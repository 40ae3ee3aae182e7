import dataclasses
import itertools

import numpy as np
import pytest

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.protocol import Asked, Slates
from recbench.datasets.world.sampling import UniformPolicy, scored_slates, uniform_slates
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.errors import InputError


def asked(n_requests=4, n_items=12, slate=3):
    ids = np.arange(n_requests)
    return Asked(ids, ids, ids / 10, np.arange(100, 100 + n_items), slate)


class Recorder(UniformPolicy):
    def __init__(self):
        super().__init__(seed=0)
        self.heard = []

    def observe(self, feedback):
        self.heard.append(feedback)


def test_the_on_policy_average_recovers_the_true_click_rate_within_its_interval():
    settings = WorldSettings(days=0.5, n_users=60, n_live=120)
    inside = 0
    for seed in range(40):
        shown = run(World.drawn(settings, seed=seed), UniformPolicy(seed=seed), tick_s=3600)
        half = 1.96 * shown.clicked.std() / len(shown) ** 0.5
        inside += abs(shown.clicked.mean() - shown.truth.click_probability.mean()) <= half
    # of 40 intervals of 95 % at least 33 hold the truth, but for a chance of 1e-3 (binomial)
    assert inside >= 33


def test_what_becomes_known_is_told_once_and_not_before_its_time():
    world = World.drawn(WorldSettings(days=0.5, n_users=60, n_live=120, label_delay_s=1800), seed=1)
    policy = Recorder()
    shown = run(world, policy, tick_s=600)
    heard = policy.heard

    assert sum(len(one.exposures) for one in heard) == len(shown)
    born = np.concatenate([one.new_items.item_ids for one in heard])
    assert np.array_equal(born, np.arange(len(born)))
    told = sum(len(one.clicks) for one in heard)
    assert told == np.count_nonzero(shown.known_h[shown.clicked] <= 12.0)
    assert 0 < told < shown.clicked.sum()  # some were still to come at the end
    for before, one in itertools.pairwise(heard):
        assert (one.exposures.hours >= before.until_h).all()
        assert (one.exposures.hours < one.until_h).all()
        assert (one.new_items.born_h < one.until_h).all()
        assert (one.clicks.known_h > before.until_h).all()
        assert (one.clicks.known_h <= one.until_h).all()
        assert (one.clicks.known_h > one.clicks.of.hours).all()


def test_the_counter_that_users_see_is_of_clicks_before_the_tick(small_world):
    shown = run(small_world, UniformPolicy(seed=0), tick_s=3600, until_h=3.0)
    of = shown.exposures
    counter = np.zeros(len(small_world.items))
    for hour in range(3):
        now = (of.hours >= hour) & (of.hours < hour + 1)
        np.testing.assert_allclose(shown.clicks_of_late[now], counter[of.item_ids[now]])
        counter *= 0.5 ** (1 / 3)
        np.add.at(counter, of.item_ids[now & shown.clicked], 1.0)


def test_uniform_slates_are_even_and_hold_no_item_twice():
    many = asked(n_requests=20_000)
    slates = uniform_slates(many, seed=1)

    assert (
        np.sort(slates.item_ids, axis=1)[:, 1:] > np.sort(slates.item_ids, axis=1)[:, :-1]
    ).all()
    for slot in range(3):
        counts = np.bincount(slates.item_ids[:, slot] - 100, minlength=12)
        # a binomial with a standard deviation of 39
        assert abs(counts - 20_000 / 12).max() < 4 * 39
    np.testing.assert_allclose(slates.propensities[0], [1 / 12, 1 / 11, 1 / 10])


def test_scored_slates_come_as_often_as_their_propensities_say():
    n = 40_000
    many = asked(n_requests=n, n_items=4, slate=2)
    scores = np.tile(np.array([0.0, 1.0, 2.0, -1.0]), (n, 1))
    slates = scored_slates(many, scores, temperature=0.7, random_share=0.1, seed=1)

    weights = 0.9 * np.exp(scores[0] / 0.7) / np.exp(scores[0] / 0.7).sum() + 0.1 / 4
    drawn = slates.item_ids - 100
    for first, second in itertools.permutations(range(4), 2):
        this = (drawn[:, 0] == first) & (drawn[:, 1] == second)
        chance = weights[first] * weights[second] / (1 - weights[first])
        assert this.mean() == pytest.approx(chance, abs=4 * (chance * (1 - chance) / n) ** 0.5)
        np.testing.assert_allclose(slates.propensities[this].prod(axis=1), chance)


def test_a_cold_policy_shows_the_best_in_order():
    some = asked(n_requests=2, n_items=5, slate=3)
    scores = np.array([[0.0, 3.0, 2.0, 1.0, 4.0], [5.0, 4.0, 3.0, 2.0, 1.0]])
    slates = scored_slates(some, scores, temperature=0.01, seed=1)

    assert slates.item_ids.tolist() == [[104, 101, 102], [100, 101, 102]]
    np.testing.assert_allclose(slates.propensities, 1.0)


def test_what_must_not_be_shown_has_no_share_of_the_random_ones():
    many = asked(n_requests=2_000, n_items=5, slate=3)
    scores = np.zeros((2_000, 5))
    scores[:, 1] = -np.inf
    slates = scored_slates(many, scores, temperature=1.0, random_share=0.5, seed=1)

    assert not (slates.item_ids == 101).any()
    np.testing.assert_allclose(slates.propensities, [[1 / 4, 1 / 3, 1 / 2]] * 2_000)


def test_scores_that_leave_too_few_items_are_refused():
    scores = np.full((4, 12), -np.inf)
    scores[:, :2] = 0.0
    with pytest.raises(InputError, match="4 of 4 requests have fewer than 3 items"):
        scored_slates(asked(), scores, temperature=1.0, seed=1)
    with pytest.raises(InputError, match="`temperature` must be positive, got 0"):
        scored_slates(asked(), scores, temperature=0, seed=1)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda ids, chances: (ids[:, 1:], chances), "`slates.item_ids` must be"),
        (lambda ids, chances: (ids * 0 + ids[:, :1], chances), "stands twice in a slate"),
        (lambda ids, chances: (ids + 10_000, chances), "cannot be shown at hour"),
        (lambda ids, chances: (ids, chances * 0), r"must be in \(0, 1\], got 0.0"),
    ],
)
def test_slates_that_cannot_be_shown_are_refused(broken, message, small_world):
    class Broken(UniformPolicy):
        def slates(self, asked):
            right = super().slates(asked)
            return Slates(*broken(right.item_ids, np.array(right.propensities)))

    with pytest.raises(InputError, match=message):
        run(small_world, Broken(), until_h=1.0)


def test_a_clock_that_stands_still_is_refused(small_world):
    with pytest.raises(InputError, match="`tick_s` must be positive, got 0"):
        run(small_world, UniformPolicy(), tick_s=0)


def test_the_length_of_a_tick_does_not_change_what_a_policy_that_does_not_learn_meets():
    still = WorldSettings(days=0.5, n_users=60, n_live=120, social_gain=0.0, item_spread=0.0)
    world = World.drawn(still, seed=1)
    world = dataclasses.replace(
        world, items=dataclasses.replace(world.items, born_h=world.items.born_h * 1e-9 - 1e-6)
    )  # nobody is born or dies meanwhile
    coarse, fine = (run(world, UniformPolicy(seed=2), tick_s=tick_s) for tick_s in (3600, 60))

    assert np.array_equal(coarse.exposures.item_ids, fine.exposures.item_ids)
    assert np.array_equal(coarse.clicked, fine.clicked)
