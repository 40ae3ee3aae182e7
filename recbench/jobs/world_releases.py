"""Releases made of what a simulated world lets be known, and served there by the serving code."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.datasets.simulator import items_of
from recbench.datasets.world.truth import World
from recbench.evaluation.recommender import Recommender
from recbench.jobs.build import Cut, fit_two_tower
from recbench.jobs.publish import make_release
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender
from recbench.settings import Experiment
from recbench.tables.log import EventLog
from recbench.tables.queries import InteractionLog

__all__ = ["WorldReleases"]

HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldReleases:
    """What `RecommendedPolicy` makes at each of its refreshes: a two-tower, sealed and published.

    What is served then was read from the release's files, by the same code as a service reads it.
    Before there are ``least_clicks`` there is no release, and the policy shows anything.
    """

    world: World
    registry: Registry
    experiment: Experiment
    steps: int  # of each fit
    horizon_h: float = 6.0  # how long after a pseudo-cut a click is a target
    half_life_h: float = 6.0  # of the recency prior
    least_clicks: int = 100

    def __call__(self, log: InteractionLog, at: int) -> Recommender | None:
        """Fit on the clicks of ``log`` and items published before ``at``, in microseconds."""
        if len(log) < self.least_clicks:
            return None
        events, items = _events(log), items_of(self.world)
        published = items.filter(pl.col(c.PUBLISHED_AT).dt.epoch("us") < at)
        data = EventLog("simulated", "masked", events, published, version=0)
        horizon_us, half_life_s = round(self.horizon_h * HOUR_US), 3_600 * self.half_life_h
        cut = Cut(at=at, horizon_us=horizon_us, half_life_s=half_life_s)
        fitted = fit_two_tower(data, events, cut, experiment=self.experiment, steps=self.steps)
        sealed = make_release(
            fitted,
            data,
            events,
            registry=self.registry,
            experiment=self.experiment,
            metrics={},
            simulated={"seed": self.world.seed},
        )
        self.registry.publish(sealed.manifest.release)
        return ReleasedRecommender.load(self.registry.open())


def _events(log: InteractionLog) -> pl.DataFrame:
    """The clicks as canonical events, in order of time."""
    order = np.argsort(log.ts, kind="stable")
    events = pl.DataFrame(
        {
            c.EVENT_ID: np.arange(len(log)),
            c.USER_ID: log.users.ids[log.user_rows[order]],
            c.ITEM_ID: log.items.ids[log.item_rows[order]],
            c.TS: log.ts[order],
            c.WATCH_RATIO: log.watch_ratio[order],
        }
    )
    ts = pl.from_epoch(c.TS, time_unit="us").dt.replace_time_zone("UTC")
    return events.with_columns(ts, clicked=pl.lit(value=True))
