"""Nothing that is to come changes what a policy shows, whatever the policy."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.sampling import UniformPolicy, scored_slates
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.models.baselines import ItemKNN, RecencyPopularity
from recbench.simulation.recommended import RecommendedPolicy
from recbench.simulation.refreshing import DAILY, QUARTERLY, Cadence, RefreshedPolicy
from recbench.simulation.split import SplitPolicy

# Users see no counters here: those count a click when it is made, which is before it is known, and
# would differ where it is made and never known.
TINY = WorldSettings(
    days=0.5,
    n_users=25,
    n_live=60,
    item_half_life_h=2.0,
    label_delay_s=900.0,
    slate=5,
    social_gain=0.0,
)
TICK_S = 600.0


class OtherFuture(World):
    """The same until ``cut_h``; then other people come, other items are born, other clicks follow.

    A click before the cut that is known after it only never comes.
    """

    __slots__ = ("cut_h",)

    @classmethod
    def of(cls, world, *, cut_h, seed):
        rng = np.random.default_rng(seed)
        traffic, items = world.traffic, world.items
        first = int(np.searchsorted(traffic.hours, cut_h, side="left"))
        n_after = len(traffic) - first
        users = np.concatenate(
            [traffic.users[:first], rng.integers(0, world.settings.n_users, n_after)]
        )
        hours = np.concatenate([traffic.hours[:first], np.sort(rng.uniform(cut_h, 12.0, n_after))])
        born = int(np.searchsorted(items.born_h, cut_h, side="left"))
        shuffled = np.concatenate([np.arange(born), born + rng.permutation(len(items) - born)])
        later = np.sort(rng.uniform(cut_h, 12.0, len(items) - born))
        other = cls(
            world.settings,
            world.seed,
            world.tastes,
            dataclasses.replace(
                items,
                born_h=np.concatenate([items.born_h[:born], later]),
                category=items.category[shuffled],
                appeal=np.where(
                    np.arange(len(items)) < born, items.appeal, rng.permutation(items.appeal)
                ),
                duration_s=items.duration_s[shuffled],
            ),
            dataclasses.replace(traffic, users=users, hours=hours),
            world.readiness,
        )
        object.__setattr__(other, "cut_h", cut_h)
        return other

    def outcomes(self, request_ids, items, positions, clicks_of_late):
        found = World.outcomes(self, request_ids, items, positions, clicks_of_late)
        known_h = self.traffic.hours[request_ids] + found.delay_s / 3600
        return dataclasses.replace(
            found,
            clicked=found.clicked & (known_h < self.cut_h),
            delay_s=np.where(known_h < self.cut_h, found.delay_s, 0.0),
        )


class Peeking(UniformPolicy):
    """A learner that has the answers: the test must find it out."""

    def __init__(self, world):
        super().__init__(seed=0)
        self.future = np.bincount(world.traffic.users, minlength=25)

    def slates(self, asked):
        scores = np.tile(np.arange(len(asked.item_ids)) * 1.0, (len(asked), 1))
        scores *= self.future[asked.user_ids][:, None]
        return scored_slates(asked, scores, temperature=1.0, random_share=0.1, seed=0)


def policies():
    knn = RecommendedPolicy(lambda log, at: ItemKNN.fit(log), every_h=4.0)
    popularity = RecommendedPolicy(
        lambda log, at: RecencyPopularity.fit(log, at=at, half_life_s=3_600.0), every_h=1.0
    )
    waiting = RefreshedPolicy(TINY, QUARTERLY, labels="weighted", wait_h=0.5)
    hourly = Cadence("hourly", 1.0, 0.25)
    return {
        "uniform": UniformPolicy(),
        "15 min": RefreshedPolicy(TINY, QUARTERLY),
        "daily": RefreshedPolicy(TINY, DAILY),
        "late labels": waiting,
        "hourly, live users": RefreshedPolicy(TINY, hourly, labels="naive"),
        "item neighbours": knn,
        "recency popularity": popularity,
        "two arms": SplitPolicy(
            (RefreshedPolicy(TINY, DAILY), RefreshedPolicy(TINY, QUARTERLY)), pooled=True, seed=1
        ),
    }


def shown_before(world, policy, cut_h):
    of = run(world, policy, tick_s=TICK_S).exposures
    kept = of.hours < cut_h
    return of.item_ids[kept], of.propensities[kept]


@pytest.mark.parametrize("name", list(policies()))
@settings(max_examples=3, deadline=None)
@example(cut_h=2.0, seed=473)
@given(cut_h=st.floats(1.0, 11.0), seed=st.integers(0, 1_000))
def test_what_is_shown_does_not_depend_on_what_is_to_come(name, cut_h, seed):
    world = World.drawn(TINY, seed=seed)
    other = OtherFuture.of(world, cut_h=cut_h, seed=seed + 1)

    before = shown_before(world, policies()[name], cut_h)
    beside = shown_before(other, policies()[name], cut_h)

    assert len(before[0]) == len(beside[0]) > 0
    # the tick that the cut falls into was decided by what was known before it
    assert np.array_equal(before[0], beside[0])
    assert np.array_equal(before[1], beside[1])


def test_a_policy_that_knows_the_future_is_found_out():
    world = World.drawn(TINY, seed=1)
    other = OtherFuture.of(world, cut_h=6.0, seed=2)

    assert not np.array_equal(
        shown_before(world, Peeking(world), 6.0)[0], shown_before(other, Peeking(other), 6.0)[0]
    )


def test_the_other_future_is_another_one():
    world = World.drawn(TINY, seed=1)
    other = OtherFuture.of(world, cut_h=1.5, seed=2)
    mine, theirs = (run(one, UniformPolicy(), tick_s=TICK_S) for one in (world, other))
    later = mine.exposures.hours >= 1.5
    there = theirs.exposures.hours >= 1.5

    assert later.sum() == there.sum()
    assert not np.array_equal(mine.exposures.user_ids[later], theirs.exposures.user_ids[there])
    lost = mine.clicked[~later] & ~theirs.clicked[~there]
    assert lost.any()
    assert (mine.known_h[~later][lost] >= 1.5).all()
