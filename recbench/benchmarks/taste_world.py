"""Events with something to learn and something to keep up with, made up from a seed."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl

from recbench import columns as c

__all__ = ["taste_world"]

EVENTS_PER_USER, EVENTS_PER_ITEM = 50, 250
N_TASTES = 40
DAYS = 30
OWN_TASTE = 0.7  # chance that a click is of the user's own taste
LIFE_DAYS = 4.0  # an item's appeal fades by e in so many days


def taste_world(n_events: int, *, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Canonical clicks in order of time, and their items.

    Every user prefers one of 40 tastes, every item is of one; an item appears at some time within
    the 30 days, and its appeal (log-normal) fades from then on. So there are new items in every
    window, what is popular changes, and who likes what can be learned.

    Args:
        n_events: how many; a fiftieth as many users, a 250th as many items.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    n_users, n_items = (max(1, n_events // per) for per in (EVENTS_PER_USER, EVENTS_PER_ITEM))
    day = np.sort(rng.uniform(0, DAYS, n_events))
    activity = rng.lognormal(0, 0.8, n_users)
    user = rng.choice(n_users, n_events, p=activity / activity.sum())
    taste_of_user = rng.integers(0, N_TASTES, n_users)
    taste_of_item = rng.integers(0, N_TASTES, n_items)
    born = rng.uniform(-LIFE_DAYS, DAYS, n_items)
    appeal = rng.lognormal(0, 1.0, n_items)
    wanted = np.where(
        rng.random(n_events) < OWN_TASTE, taste_of_user[user], rng.integers(0, N_TASTES, n_events)
    )
    item = np.empty(n_events, dtype=np.int64)
    bounds = np.linspace(0, n_events, 10 * DAYS + 1).astype(np.int64)
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        age = day[start] - born
        weight = np.where(age >= 0, appeal * np.exp(-np.maximum(age, 0) / LIFE_DAYS), 1e-12)
        for taste in range(N_TASTES):
            where = start + np.flatnonzero(wanted[start:stop] == taste)
            of_taste = np.flatnonzero(taste_of_item == taste)
            of_taste = of_taste if len(of_taste) else np.arange(n_items)
            chance = weight[of_taste]
            item[where] = rng.choice(of_taste, len(where), p=chance / chance.sum())
    start_of_all = datetime(2026, 1, 1, tzinfo=UTC)
    ts = pl.Series((day * 86_400e6).astype(np.int64)).cast(pl.Duration("us"))
    events = pl.DataFrame(
        {
            c.EVENT_ID: np.arange(n_events),
            c.USER_ID: user,
            c.ITEM_ID: item,
            c.CLICKED: np.ones(n_events, dtype=bool),
            c.WATCH_MS: rng.integers(0, 60_000, n_events),
            c.SOURCE_ROW: np.arange(n_events),
            c.TS: ts,
        }
    ).with_columns((pl.lit(start_of_all, c.INSTANT) + pl.col(c.TS)).alias(c.TS))
    items = pl.DataFrame(
        {
            c.ITEM_ID: np.arange(n_items),
            c.CATEGORY: [f"taste {taste}" for taste in taste_of_item.tolist()],
        }
    )
    return events, items
