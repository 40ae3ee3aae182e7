"""A user's latest clicks with their instants, as arrays: the history of a query tower."""

from dataclasses import dataclass

import numpy as np

from recbench import columns as c
from recbench.features.online.arrays import Integers
from recbench.features.online.columns import NULL
from recbench.features.online.lookup_one import Events

__all__ = ["RecentClicks", "recent_clicks"]


@dataclass(frozen=True, slots=True, eq=False)
class RecentClicks:
    """Clicks of one user, oldest first; (N,) each."""

    item_ids: Integers
    ts: Integers  # microseconds since the epoch
    watch_ms: Integers  # NULL where it is not kept, or unknown


NO_CLICKS = RecentClicks(*(np.empty(0, dtype=np.int64) for _ in range(3)))


def recent_clicks(
    events: Events, *, k: int, at_us: int, since_us: int | None = None
) -> RecentClicks:
    """The last ``k`` events of a stream of clicks before an instant.

    Args:
        events: with a column ``item_id`` of integers.
        k: how many at most; the stream keeps as many whatever their age.
        at_us: microseconds since the epoch; what happened then or later does not count.
        since_us: only what happened later than that; default: however long ago.
    """
    held = events.ts[events.begin : events.end]
    end = int(held.searchsorted(at_us))
    begin = max(0, end - k)
    if since_us is not None:
        begin = max(begin, int(held.searchsorted(since_us, side="right")))
        if begin >= end:  # mostly, where it is minutes ago
            return NO_CLICKS
    span = slice(events.begin + begin, events.begin + end)
    ts = events.ts[span].copy()  # the arrays behind it go on changing
    watched = events.columns.get(c.WATCH_MS)
    unknown = np.full(len(ts), NULL)
    watch_ms = unknown if watched is None else watched.known(span).astype(np.int64)
    return RecentClicks(events.columns[c.ITEM_ID].known(span).astype(np.int64), ts, watch_ms)
