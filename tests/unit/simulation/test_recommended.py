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
