"""Logs of the simulated short-video world, canonical as those of real data sets.

What the world is like, and which published statistics it follows: ``datasets.world.settings``.
Every number that comes from here is a simulated one, and is to be labelled so.
"""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.datasets.world.closed_loop import Shown, run
from recbench.datasets.world.protocol import Policy
from recbench.datasets.world.sampling import UniformPolicy
from recbench.datasets.world.settings import WorldSettings
from recbench.datasets.world.truth import World

__all__ = ["BEGINNING", "events_of", "instants", "items_of", "simulated_log"]

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)  # hour 0 of every world
TRUE_CLICK_PROBABILITY, EXPECTED_WATCH_MS = "true_click_probability", "expected_watch_ms"


def simulated_log(
    settings: WorldSettings | None = None, *, seed: int, policy: Policy | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Canonical events and items of a whole world; see ``events_of`` and ``items_of``.

    Args:
        settings: default: as ``WorldSettings`` has them.
        seed: of the world, and of the policy if none is given.
        policy: decides what is shown; default: anything, evenly.
    """
    world = World.drawn(settings or WorldSettings(), seed=seed)
    shown = run(world, policy if policy is not None else UniformPolicy(seed=seed))
    return events_of(shown, world), items_of(world)


def events_of(shown: Shown, world: World, *, truth: bool = False) -> pl.DataFrame:
    """A row a showing, in order of time and position.

    ``arrival_ts`` is when it was known whether there is a click; ``propensity`` is the chance of
    the item at its position given those before it in the request.

    Args:
        shown: what the closed loop gave.
        world: in which.
        truth: also ``true_click_probability`` and ``expected_watch_ms``.
    """
    of = shown.exposures
    frame = {
        c.EVENT_ID: of.request_ids * world.settings.slate + of.positions,
        c.USER_ID: of.user_ids,
        c.ITEM_ID: of.item_ids,
        c.TS: instants(of.hours),
        c.ARRIVAL_TS: instants(shown.known_h),
        c.CLICKED: shown.clicked,
        c.WATCH_MS: np.rint(1e3 * shown.watch_s).astype(np.int64),
        c.CATEGORY: _categories(world.items.category[of.item_ids], world),
        c.POSITION: of.positions.astype(np.int16),
        c.PROPENSITY: of.propensities,
        c.REQUEST_ID: of.request_ids,
        c.SOURCE_ROW: np.arange(len(of)),
    }
    if truth:
        frame[TRUE_CLICK_PROBABILITY] = shown.truth.click_probability
        frame[EXPECTED_WATCH_MS] = 1e3 * shown.truth.expected_watch_s
    return pl.DataFrame(frame)


def items_of(world: World) -> pl.DataFrame:
    """Canonical items, in order of birth."""
    items = world.items
    return pl.DataFrame(
        {
            c.ITEM_ID: np.arange(len(items)),
            c.PUBLISHED_AT: instants(items.born_h),
            c.CATEGORY: _categories(items.category, world),
            c.DURATION_MS: np.rint(1e3 * items.duration_s).astype(np.int64),
        }
    )


def instants(hours: npt.NDArray[np.float64]) -> pl.Series:
    """Hours since the beginning of the world as canonical times."""
    since = pl.Series(np.floor(hours * 3600e6).astype(np.int64)).cast(pl.Duration("us"))
    return pl.select(pl.lit(BEGINNING, c.INSTANT) + since).to_series()


def _categories(rows: npt.NDArray[np.int64], world: World) -> pl.Series:
    names = pl.Series([f"category {row}" for row in range(world.settings.n_categories)])
    return names[rows]
