"""The closed loop with releases: fitted, sealed, published, and read again by the serving code."""

import numpy as np
import pytest

from recbench.datasets.simulator import BEGINNING, instants
from recbench.datasets.world.closed_loop import run
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World
from recbench.jobs.world_releases import WorldReleases
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.simulation.recommended import RecommendedPolicy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FIRST_H, TICK_S = 6.0, 900.0
SMALL = WorldSettings(days=0.375, n_users=150, n_live=80, item_half_life_h=12.0, slate=5)


class Listening(RecommendedPolicy):
    """Keeps what it was asked, with which histories, and what it answered."""

    def slates(self, asked):
        at = instants(asked.hours).dt.epoch("us").to_numpy()
        found = super().slates(asked)
        if self._log is not None:
            self.last = asked, self._log.queries(asked.user_ids, at), found
        return found


@pytest.fixture(scope="module")
def world():
    return World.drawn(SMALL, seed=1)


@pytest.fixture(scope="module")
def served(world, tiny_experiment, tmp_path_factory):
    """Registry, policy and what was shown: by a release of hour 6 from then on."""
    registry = Registry(tmp_path_factory.mktemp("world") / "registry")
    releases = WorldReleases(world=world, registry=registry, experiment=tiny_experiment, steps=30)
    policy = Listening(releases, every_h=FIRST_H)
    return registry, policy, run(world, policy, tick_s=TICK_S)


def test_a_refresh_seals_and_publishes_a_release_of_what_was_known_then(world, served):
    registry, _, shown = served
    (only,) = registry.releases()
    known = shown.clicked & (shown.known_h <= FIRST_H)

    assert registry.current() == only.release
    assert only.settings["simulated"] == {"seed": 1}
    # the watermark is that of the last click before
    last_us = round(3.6e9 * shown.exposures.hours[known].max())
    assert only.watermark_us == pytest.approx(BEGINNING.timestamp() * 1e6 + last_us, abs=2)


def test_the_release_decides_what_is_seen_and_does_better_than_chance(world, served):
    shown, chance = served[2], run(world, UniformPolicy(), tick_s=TICK_S)
    rates = [
        one.truth.click_probability[one.exposures.hours >= FIRST_H].mean()
        for one in (shown, chance)
    ]
    of = shown.exposures
    by_release = of.hours >= FIRST_H

    assert (world.items.born_h[of.item_ids[by_release]] < FIRST_H).all()
    assert np.array_equal(of.item_ids[~by_release], chance.exposures.item_ids[~by_release])
    assert rates[0] > 1.05 * rates[1]


def test_what_is_shown_first_is_what_the_sealed_release_finds_best(served):
    registry, policy, _ = served
    asked, queries, slates = policy.last
    release = ReleasedRecommender.load(registry.open())
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
