import numpy as np
import pytest

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.truth import World
from recbench.simulation.refreshing import DAILY, QUARTERLY, Cadence, RefreshedPolicy


@pytest.fixture(scope="module")
def world(little):
    return World.drawn(little, seed=1)


def test_an_item_is_shown_once_a_release_knows_it_and_not_before(world, little):
    hourly = Cadence("hourly", 1.0, 1.0, making_h=0.25)
    shown = run(world, RefreshedPolicy(little, hourly), tick_s=300).exposures
    born, hours = world.items.born_h[shown.item_ids], shown.hours
    # a release of a full hour is served a quarter later, from the tick on
    watermark = np.floor(hours - 0.25)

    assert (born < np.maximum(watermark, 0)).mean() == pytest.approx(1.0, abs=1e-9)
    delay = (hours - born)[born > 0]
    assert 0.25 <= delay.min() < 1.0


def test_refreshes_are_counted_by_the_clock(world, little):
    counts = {}
    for cadence in (DAILY, QUARTERLY, Cadence("hourly", 1.0, 0.25)):
        policy = RefreshedPolicy(little, cadence)
        run(world, policy, tick_s=300)
        counts[cadence.name] = policy.n_refreshes

    # at hour 0 and then by the clock until hour 12, which it ends with
    assert counts == {"daily": 1, "15 min": 49, "hourly": 13}


def test_a_policy_that_learns_does_better_and_fresher_is_better(world, little):
    rates = [
        run(world, policy).truth.click_probability.mean()
        for policy in (
            UniformPolicy(),
            RefreshedPolicy(little, Cadence("six-hourly", 6.0, 6.0)),
            RefreshedPolicy(little, QUARTERLY),
        )
    ]
    assert rates == sorted(rates)
    assert rates[-1] > 1.5 * rates[0]


def test_each_showing_has_a_prediction_or_none_where_nothing_was_known(world, little):
    policy = RefreshedPolicy(little, QUARTERLY)
    shown = run(world, policy)
    predicted = np.concatenate([part.ravel() for part in policy.predicted])

    assert len(predicted) == len(shown)
    assert not np.isnan(predicted).any()
    assert np.corrcoef(predicted, shown.truth.click_probability)[0, 1] > 0.2


def test_when_all_that_a_release_knows_is_dead_anything_alive_is_shown(little):
    from dataclasses import replace

    fast = replace(little, item_half_life_h=0.25)
    policy = RefreshedPolicy(fast, DAILY)
    shown = run(World.drawn(fast, seed=1), policy).exposures
    predicted = np.concatenate([part.ravel() for part in policy.predicted])

    assert np.isnan(predicted[shown.hours > 9]).all()  # lives last 6 x .25 h, at most 6.7 h
    assert (shown.propensities[shown.hours > 9] < 0.05).all()
