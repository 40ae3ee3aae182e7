from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.truth import World
from recbench.errors import InputError
from recbench.simulation.refreshing import QUARTERLY, Cadence, RefreshedPolicy
from recbench.simulation.split import SplitPolicy
from recbench.simulation.twins import TwinPlan, experiment, interference, twins

SLOW = Cadence("six-hourly", 6.0, 6.0)
PLAN = TwinPlan(arms=(SLOW, QUARTERLY), warmup_days=0.25)


def test_twins_of_one_cadence_are_one_world(little):
    same = replace(PLAN, arms=(QUARTERLY, replace(QUARTERLY, name="again")))
    found = twins(little, same, seeds=[1, 2])

    assert found["arm"].to_list() == ["15 min", "again"] * 2
    for _, pair in found.group_by("seed"):
        assert pair["click_rate"].n_unique() == 1
        assert pair["watch_s"].n_unique() == 1


def test_twins_meet_the_same_luck_where_the_same_is_shown(little):
    world = World.drawn(little, seed=1)
    slow, fast = (run(world, RefreshedPolicy(little, arm)) for arm in (SLOW, QUARTERLY))
    keys = [one.exposures.request_ids * 10_000 + one.exposures.item_ids for one in (slow, fast)]
    _, at_slow, at_fast = np.intersect1d(*keys, return_indices=True)
    chances = slow.truth.click_probability[at_slow], fast.truth.click_probability[at_fast]
    differs = slow.clicked[at_slow] != fast.clicked[at_fast]

    assert 0.1 < len(at_slow) / len(slow) < 1  # alike, not the same
    # one uniform decides both: they differ only as often as the chances do
    assert differs.mean() <= np.abs(chances[0] - chances[1]).mean() + 0.02


def test_common_luck_makes_the_effect_surer_than_other_worlds_would(little):
    found = twins(little, PLAN, seeds=range(6)).pivot("arm", index="seed", values="click_rate")
    slow, fast = found["six-hourly"].to_numpy(), found["15 min"].to_numpy()

    assert (fast - slow).std() < (fast - np.roll(slow, 1)).std()
    assert (fast > slow).all()


def test_an_experiment_splits_users_and_both_arms_hear_what_they_may(little):
    heard = {True: [], False: []}

    class Hearing(RefreshedPolicy):
        def observe(self, feedback):
            heard[self.pooled].append(feedback.exposures.user_ids)
            super().observe(feedback)

    for pooled in (True, False):
        arms = []
        for _ in range(2):
            policy = Hearing(little, QUARTERLY)
            policy.pooled = pooled
            arms.append(policy)
        split = SplitPolicy(tuple(arms), pooled=pooled, seed=1)
        shown = run(World.drawn(little, seed=1), split)
        n_heard = sum(len(users) for users in heard[pooled])
        assert n_heard == (2 if pooled else 1) * len(shown)
    arm = split.arm_of(np.arange(1_000))
    assert arm.mean() == pytest.approx(0.5, abs=4 * 0.5 / 1_000**0.5)


def test_an_experiment_stands_beside_its_twins(little):
    many = replace(little, n_users=100)
    true = twins(many, PLAN, seeds=[1, 2])
    estimated = experiment(many, PLAN, seeds=[1, 2], pooled=True)
    found = interference(true, estimated, PLAN)

    assert found["metric"].to_list() == ["click_rate"] * 2 + ["watch_s"] * 2
    assert (found["low"] < found["estimate"]).all()
    assert (found["estimate"] < found["high"]).all()
    # what one world learns from is what the other shows: the estimate is of another effect
    first = found.row(0, named=True)
    rates = dict(true.filter(pl.col("seed") == 1).select("arm", "click_rate").iter_rows())
    assert first["true"] == pytest.approx(rates["15 min"] / rates["six-hourly"] - 1)
    assert first["bias"] == pytest.approx(first["estimate"] - first["true"])
    assert first["covered"] == (first["low"] <= first["true"] <= first["high"])


def test_a_world_that_ends_before_the_comparison_is_refused(little):
    with pytest.raises(InputError, match=r"outlast the 3 days of warm-up, got 0\.5 days"):
        twins(little, TwinPlan(), seeds=[1])
