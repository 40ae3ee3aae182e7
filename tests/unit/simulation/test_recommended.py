import numpy as np
import pytest

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.models.baselines import ItemKNN, RecencyPopularity
from recbench.simulation.recommended import RecommendedPolicy


@pytest.fixture(scope="module")
def world(little):
    return World.drawn(little, seed=1)


def recency(log, at):
    return RecencyPopularity.fit(log, at=at, half_life_s=3 * 3600.0)


def test_a_baseline_of_recbench_serves_the_world_and_beats_chance(world):
    served = run(world, RecommendedPolicy(recency, every_h=0.5), tick_s=600)
    chance = run(world, UniformPolicy(), tick_s=600)

    better = served.truth.click_probability.mean() / chance.truth.click_probability.mean()
    assert better > 1.1


def test_what_is_made_once_knows_no_item_that_is_born_later(world):
    made = []

    def once(log, at):
        made.append((len(log), at))
        return recency(log, at)

    shown = run(world, RecommendedPolicy(once), tick_s=600).exposures

    assert made == [(0, 1_767_225_600_000_000)]  # no click, at midnight of 1 January 2026
    assert (world.items.born_h[shown.item_ids] < 0).all()


def test_the_history_it_is_asked_with_is_live(world):
    lengths = []

    class Listening(ItemKNN):
        def score_items(self, queries):
            lengths.append(queries.lengths.mean())
            return super().score_items(queries)

    run(world, RecommendedPolicy(lambda log, at: Listening.fit(log)), tick_s=3600)
    assert lengths[0] == 0
    assert lengths[-1] > 2
    assert np.all(np.diff(lengths[:4]) > 0)


@pytest.mark.parametrize("broken", [{"every_h": 0}, {"sharpness": -1}])
def test_a_cadence_that_cannot_be_is_refused(broken):
    with pytest.raises(InputError, match="`every_h` and `sharpness` must be positive"):
        RecommendedPolicy(recency, **broken)


def test_what_it_learns_from_says_how_far_clicks_were_watched(world):
    ratios = []

    def noting(log, at):
        ratios.append(log.watch_ratio)
        return recency(log, at)

    run(world, RecommendedPolicy(noting, every_h=6.0), tick_s=3600)
    last = ratios[-1]

    assert len(last) > 50
    # a click is a play of 7 s at least or of the whole, so of more than nothing and at most all
    assert last.min() > 0
    assert last.max() <= 1 + 1e-6
    assert last.std() > 0.05


def test_while_nothing_is_made_anything_is_shown_and_what_is_served_stays(world):
    made = []

    def second(log, at):
        made.append(recency(log, at) if len(made) == 1 else None)
        return made[-1]

    policy = RecommendedPolicy(second, every_h=3.0, seed=4)
    shown = run(world, policy, tick_s=600).exposures
    chance = run(world, UniformPolicy(seed=4), tick_s=600).exposures
    early = shown.hours < 3.0

    assert np.array_equal(shown.item_ids[early], chance.item_ids[early])
    assert not np.array_equal(shown.item_ids[~early], chance.item_ids[~early])
    assert made[-1] is None
    assert policy._served is made[1]
