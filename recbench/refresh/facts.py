"""What a window of events looks like from outside, before anything is learned from it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.tables.vocabulary import Vocabulary

__all__ = ["WindowFacts", "window_facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFacts:
    """Counts and shares of the events in one stretch of time."""

    n_events: int
    n_clicks: int
    n_users: int
    n_new_items: int  # items nobody had an event with before
    n_late: int  # events that came after the release and are older than its watermark
    top_item_share: float  # of the clicks, those of the most clicked item
    top_user_share: float  # of the events, those of the busiest user
    click_rate: float  # clicks an event
    gap_s: float  # the longest silence, from the watermark on
    span_s: float  # from the watermark to the end
    n_not_finite: int  # NaN and infinite values in any column
    filled: dict[str, float]  # share of rows with a value, by column that features are made of

    def to_json(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(**held)


def window_facts(
    events: pl.DataFrame, *, start: int, end: int, items: Vocabulary, n_late: int = 0
) -> WindowFacts:
    """The facts of the events in [start, end), microseconds since the epoch.

    Args:
        events: canonical, in order of time; all of the window.
        start: where the window before ended.
        end: where this one ends.
        items: those that were known before.
        n_late: events that belong to earlier windows and were not known then.
    """
    ts = events[c.TS].dt.epoch("us").to_numpy()
    clicks = events.filter(pl.col(c.CLICKED))
    silences = np.diff(np.concatenate([[start], ts, [end]]))
    floats = [name for name, dtype in events.schema.items() if dtype.is_float()]
    bad = events.select(
        (~pl.col(name).is_finite()).fill_null(False).sum().alias(name) for name in floats
    )
    new = events[c.ITEM_ID].unique()
    return WindowFacts(
        n_events=len(events),
        n_clicks=len(clicks),
        n_users=events[c.USER_ID].n_unique(),
        n_new_items=int((items.rows(new) < 0).sum()),
        n_late=n_late,
        top_item_share=_largest_share(clicks[c.ITEM_ID]),
        top_user_share=_largest_share(events[c.USER_ID]),
        click_rate=len(clicks) / max(1, len(events)),
        gap_s=float(silences.max()) / 1e6,
        span_s=(end - start) / 1e6,
        n_not_finite=int(sum(bad.row(0))) if floats else 0,
        filled={
            name: 1 - events[name].null_count() / max(1, len(events))
            for name in (c.CATEGORY, c.WATCH_MS, c.WATCH_RATIO)
            if name in events.columns
        },
    )


def _largest_share(ids: pl.Series) -> float:
    return float(ids.value_counts()["count"].max() or 0) / max(1, len(ids))  # type: ignore[arg-type]  # a count
