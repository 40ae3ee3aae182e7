"""How much of an item was watched."""

import polars as pl

from recbench import columns as c

__all__ = ["with_watch_ratio"]


def with_watch_ratio(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The events with ``watch_ratio``: ``watch_ms`` over the item's ``duration_ms``.

    Null where either is unknown or the item has no length. Without both columns, or where the
    events have a ratio of their own, they stay as they are.
    """
    if c.WATCH_MS not in events.columns or c.DURATION_MS not in items.columns:
        return events
    if c.WATCH_RATIO in events.columns:
        return events
    lengths = items.select(c.ITEM_ID, pl.col(c.DURATION_MS).alias(c.WATCH_RATIO))
    joined = events.join(lengths, on=c.ITEM_ID, how="left", maintain_order="left")
    ratio = pl.when(pl.col(c.WATCH_RATIO) > 0).then(pl.col(c.WATCH_MS) / pl.col(c.WATCH_RATIO))
    return joined.with_columns(ratio.cast(pl.Float32).alias(c.WATCH_RATIO))
