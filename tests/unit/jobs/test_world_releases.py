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
from recbench.serving import ReleasedRecommender
from recbench.simulation.recommended import RecommendedPolicy

pytestmark = pytest.mark.slow
FIRST_H, TICK_S = 6.0, 900.0
SMALL = WorldSettings(days=0.5, n_users=150, n_live=80, item_half_life_h=12.0, slate=5)


class Listening(RecommendedPolicy):
    """Keeps what it was asked, with which histories, and what it answered."""

    def slates(self, asked):
        at = instants(asked.hours).dt.epoch("us").to_numpy()
        found = super().slates(asked)
        self.last = asked, self._log.queries(asked.user_ids, at), found
        return found


@pytest.fixture(scope="module")
def world():
    return World.drawn(SMALL, seed=1)


@pytest.fixture(scope="module")
def served(world, tiny_experiment, tmp_path_factory):
    """Registry, policy and what was shown: a release of hour 6, and one of 12, when it ends."""
    registry = Registry(tmp_path_factory.mktemp("world") / "registry")
    releases = WorldReleases(world=world, registry=registry, experiment=tiny_experiment, steps=20)
    policy = Listening(releases, every_h=FIRST_H)
    return registry, policy, run(world, policy, tick_s=TICK_S)


def made(registry):
    return sorted(registry.releases(), key=lambda one: one.watermark)


def test_each_refresh_seals_a_release_of_what_was_known_then(served):
    first, second = made(served[0])

    assert (first.parent, second.parent) == (None, first.release)
    assert first.watermark < "2026-01-01 06:00:00" < second.watermark < "2026-01-01 12:00:00"
    assert first.settings["simulated"] == {"seed": 1}


def test_the_release_decides_what_is_seen_and_does_better_than_chance(world, served):
    shown, chance = served[2], run(world, UniformPolicy(), tick_s=TICK_S)
    rates = [
        one.truth.click_probability[one.exposures.hours >= FIRST_H].mean()
        for one in (shown, chance)
    ]
    of = shown.exposures
    watermark_h = np.where(of.hours < FIRST_H, 0.0, FIRST_H)

    assert (world.items.born_h[of.item_ids] < watermark_h).all()
    assert rates[0] > 1.05 * rates[1]


def test_what_is_shown_first_is_what_the_sealed_release_finds_best(served):
    registry, policy, _ = served
    asked, queries, slates = policy.last
    release = ReleasedRecommender.load(registry.open(made(registry)[0].release))
    scores = release.score_items(queries)
    rows = release.items.rows(asked.item_ids)
    alive = rows[rows >= 0]
    best = release.items.ids[alive[scores[:, alive].argmax(axis=1)]]
    is_best = slates.item_ids[:, 0] == best
    share = slates.propensities[is_best, 0]

    # ranks weigh 1, 1/8, 1/27 ...: the best comes first five times of six
    assert 0.8 < share.mean() < 0.85
    assert is_best.mean() == pytest.approx(0.83, abs=4 * (0.83 * 0.17 / len(is_best)) ** 0.5)
    assert queries.lengths.max() > 0  # histories were live
