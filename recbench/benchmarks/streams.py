"""Generated events as a stream would carry them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recbench import columns as c

__all__ = ["generated_stream"]

HOUR_US = 3_600_000_000


def generated_stream(n_events: int, *, seed: int) -> pl.DataFrame:
    """``n_events`` canonical events of the last hour, every column filled, in order of time."""
    rng = np.random.default_rng(seed)
    start = datetime.now(UTC) - timedelta(hours=1)
    elapsed_us = np.sort(rng.integers(0, HOUR_US, n_events))
    categories = pl.Series([f"category {number}" for number in range(20)])
    return pl.DataFrame(
        {
            c.EVENT_ID: np.arange(n_events),
            c.USER_ID: rng.integers(0, 100_000, n_events),
            c.ITEM_ID: rng.integers(0, 10_000, n_events),
            c.TS: pl.Series(elapsed_us).cast(pl.Duration("us")),
            c.CLICKED: rng.random(n_events) < 0.3,
            c.WATCH_MS: rng.integers(0, 60_000, n_events),
            c.CATEGORY: categories.gather(rng.integers(0, len(categories), n_events)),
            c.POSITION: rng.integers(0, 20, n_events).astype(np.int16),
        }
    ).with_columns((pl.lit(start, c.INSTANT) + pl.col(c.TS)).alias(c.TS))
