"""The shape of a log in a few numbers."""

from typing import Any

import polars as pl

from recbench import columns as c
from recbench.tables.log import EventLog

__all__ = ["describe"]


def describe(log: EventLog) -> dict[str, Any]:
    """Counts, time span and peculiarities, by name; shares are in [0, 1]."""
    events = log.events
    per_user = events.group_by(c.USER_ID).len()["len"]
    same_instant = events.select(pl.struct(c.USER_ID, c.TS).is_duplicated().mean()).item()
    repeated = events.select(
        pl.struct(c.USER_ID, c.ITEM_ID).is_first_distinct().not_().mean()
    ).item()
    return {
        "name": log.name,
        "protocol": log.protocol,
        "lake_version": log.version,
        "n_events": len(events),
        "n_users": events[c.USER_ID].n_unique(),
        "n_items": events[c.ITEM_ID].n_unique(),
        "first_ts": str(events[c.TS].min()),
        "last_ts": str(events[c.TS].max()),
        "clicked_frac": events.select(pl.col(c.CLICKED).mean()).item(),
        "events_per_user_median": per_user.to_frame().select(pl.all().median()).item(),
        "same_instant_frac": float(same_instant),
        "repeated_pair_frac": float(repeated),
        "rejected_rows": log.rejected,
    }
