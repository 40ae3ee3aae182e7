"""The closed loop with releases: fitted, sealed, published, and read again by the serving code."""

import numpy as np
import pytest

from recbench.datasets.simulator import instants
from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.jobs.world_releases import WorldReleases
from recbench.refresh import Registry
from recbench.serving.served_release import ServedRelease
from recbench.simulation.recommended import RecommendedPolicy

EVERY_H = 6.0
SMALL = WorldSettings(days=0.5, n_users=60, n_live=80, item_half_life_h=12.0, slate=5)


class Listening(RecommendedPolicy):
    """Keeps what it was asked last, with the histories it was asked with."""

    def slates(self, asked):
        self.asked, self.scored = asked, self._served
        self.queries = self._log.queries(asked.user_ids, instants(asked.hours).dt.epoch("us").to_numpy())
        return super().slates(asked)


@pytest.fixture(scope="module")
def world():
    return World.drawn(SMALL, seed=1)


@pytest.fixture(scope="module")
def served(world, tiny_experiment, tmp_path_factory):
    """Registry, policy and what was shown: releases of hours 6, 12 and, never served, 18."""
    registry = Registry(tmp_path_factory.mktemp("world") / "registry")
    releases = WorldReleases(world=world, registry=registry, experiment=tiny_experiment, steps=30)
    policy = Listening(releases, every_h=EVERY_H)
    return registry, policy, run(world, policy, tick_s=900)


def test_each_refresh_seals_a_release_of_what_was_known_then(served):
    registry, _, _ = served
    made = sorted(registry.releases(), key=lambda one: one.watermark)

    assert len(made) == 3
    assert [one.parent for one in made[1:]] == [one.release for one in made[:-1]]
    for hour, one in zip((6, 12, 18), made, strict=True):
        assert one.watermark < f"2026-01-01 {hour:02d}:00:00"
        registry.open(one.release)  # its files are what was sealed


def test_the_served_release_decides_what_is_seen(world, served):
    _, _, shown = served
    of = shown.exposures
    watermark = np.floor(of.hours / EVERY_H) * EVERY_H
    by_release = of.hours >= EVERY_H
    chance = run(world, UniformPolicy(), tick_s=900)
    beside = chance.truth.click_probability[chance.exposures.hours >= EVERY_H].mean()

    assert (world.items.born_h[of.item_ids] < np.maximum(watermark, 1e-9)).all()
    assert shown.truth.click_probability[by_release].mean() > 1.05 * beside


def test_what_is_shown_is_what_a_service_would_find_best(served):
    registry, policy, _ = served
    service = ServedRelease.load(registry.open(policy.scored_as))
