"""Events for the benchmarks, made up from a seed."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from recbench import columns as c

__all__ = ["CATEGORIES", "DAYS", "generated_events"]

EVENTS_PER_USER, EVENTS_PER_ITEM = 50, 250
DAYS = 5
CATEGORIES = ["drama", "comedy", "drama|war", "news", "comedy|sport", "music", "sport"]


def generated_events(n_events: int, *, seed: int) -> pl.DataFrame:
    """``n_events`` canonical events of even activity, in order of time, as a log is loaded."""
    rng = np.random.default_rng(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = rng.integers(0, DAYS * 86_400, n_events)
    items = rng.integers(0, max(n_events // EVENTS_PER_ITEM, 1), n_events)
    frame = pl.DataFrame(
        {
            c.USER_ID: rng.integers(0, max(n_events // EVENTS_PER_USER, 1), n_events),
            c.ITEM_ID: items,
            c.TS: pl.Series(seconds * 1_000_000).cast(pl.Duration("us")),
            c.CLICKED: rng.random(n_events) < 0.3,
            c.WATCH_MS: rng.integers(0, 60_000, n_events),
            c.CATEGORY: pl.Series(CATEGORIES)[items % len(CATEGORIES)],
        }
    )
    return frame.with_columns((pl.lit(start, c.INSTANT) + pl.col(c.TS)).alias(c.TS)).sort(c.TS)
