"""A part of a log, by time, users and items, and how it compares with the whole."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import polars as pl

from recbench import columns as c
from recbench.widgets.durations import duration

__all__ = ["chosen", "chosen_table"]


def chosen(
    events: pl.DataFrame,
    *,
    first: datetime | None = None,
    last: datetime | None = None,
    user_ids: Collection[int] = (),
    item_ids: Collection[int] = (),
) -> pl.DataFrame:
    """The rows from ``first`` on, before ``last``, of these users and items; order unchanged.

    Args:
        events: canonical.
        first: in UTC; None: from the beginning.
        last: in UTC; None: to the end.
        user_ids: empty: all users.
        item_ids: empty: all items.
    """
    kept = [pl.lit(True)]
    if first is not None:
        kept.append(pl.col(c.TS) >= first)
    if last is not None:
        kept.append(pl.col(c.TS) < last)
    kept += [
        pl.col(name).is_in(list(ids))
        for name, ids in ((c.USER_ID, user_ids), (c.ITEM_ID, item_ids))
        if ids
    ]
    return events.filter(kept)


def chosen_table(part: pl.DataFrame, whole: pl.DataFrame) -> pl.DataFrame:
    """``fact, chosen, whole log``: counts, shares, time span and the longest silence of both.

    Args:
        part: as ``chosen`` gives; may be empty.
        whole: canonical events.
    """
    left, right = _facts(part), _facts(whole)
    return pl.DataFrame(
        {"fact": list(left), "chosen": list(left.values()), "whole log": list(right.values())}
    )


def _facts(events: pl.DataFrame) -> dict[str, str]:
    ts = events[c.TS].sort()
    silence: Any = ts.diff().max() if len(ts) > 1 else None
    clicked: Any = events[c.CLICKED].mean() if c.CLICKED in events.columns else None
    return {
        "events": f"{len(events):,}",
        "users": f"{events[c.USER_ID].n_unique():,}",
        "items": f"{events[c.ITEM_ID].n_unique():,}",
        "clicked": "" if clicked is None else f"{clicked:.1%}",
        "first": f"{ts[0]:%Y-%m-%d %H:%M:%S}" if len(ts) else "",
        "last": f"{ts[-1]:%Y-%m-%d %H:%M:%S}" if len(ts) else "",
        "longest silence": "" if silence is None else duration(silence.total_seconds()),
    }
