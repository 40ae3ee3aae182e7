"""A log in the lake that is read in parts: what is new, and some users' past."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.tables.lake import LakeTable
from recbench.tables.log import EventLog, Protocol
from recbench.tables.watched import with_watch_ratio

__all__ = ["LakeLog", "as_instant"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORDER = (c.TS, c.SOURCE_ROW, c.KAFKA_PARTITION, c.KAFKA_OFFSET)  # those that a table has


def as_instant(microseconds: int) -> datetime:
    """Microseconds since the epoch as a time in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True, eq=False)
class LakeLog:
    """One version of a log's events, with its items; rows come ordered by time."""

    name: str
    protocol: Protocol
    table: LakeTable
    version: int
    items: pl.DataFrame  # one row an item that is described; others may occur in the events
    rejected: dict[str, int] = field(default_factory=dict)

    def whole(self) -> EventLog:
        """All of it in memory."""
        return self._as_log(self.table.read(self.version))

    def until(self, at: int) -> EventLog:
        """The log as it was at an instant; see `EventLog.until`."""
        rows, early = self.table.read(self.version), pl.col(c.TS) < as_instant(at)
        later = rows.filter(~early).select(c.ITEM_ID).unique().collect()[c.ITEM_ID]
        return self._as_log(rows.filter(early)).without(later, at=at)

    def since(self, at: int, *, until: int | None = None) -> pl.DataFrame:
        """The events from ``at`` on, before ``until``; files that end before are not opened."""
        watermark = as_instant(at) - timedelta(microseconds=1)
        rows = self.table.read_since(watermark, version=self.version)
        if until is not None:
            rows = rows.filter(pl.col(c.TS) < as_instant(until))
        return self._canonical(rows)

    def of_users(self, user_ids: pl.Series, *, before: int) -> pl.DataFrame:
        """All events of these users before an instant, microseconds since the epoch."""
        rows = self.table.read(self.version).filter(
            pl.col(c.TS) < as_instant(before), pl.col(c.USER_ID).is_in(user_ids.implode())
        )
        return self._canonical(rows)

    def n_before(self, at: int) -> int:
        """How many events lie before an instant."""
        before = self.table.read(self.version).filter(pl.col(c.TS) < as_instant(at))
        return int(before.select(pl.len()).collect().item())

    def span(self) -> tuple[int, int] | None:
        """The first and the last instant, microseconds since the epoch; None without events."""
        ts = pl.col(c.TS).dt.epoch("us")
        first, last = self.table.read(self.version).select(a=ts.min(), b=ts.max()).collect().row(0)
        return None if first is None else (first, last)

    def instant_at(self, share: float) -> int:
        """The time of the event before which this share of the log lies."""
        ts = self.table.read(self.version).select(c.TS).collect()[c.TS].dt.epoch("us").sort()
        return int(ts[min(int(share * len(ts)), len(ts) - 1)])

    def _as_log(self, rows: pl.LazyFrame) -> EventLog:
        events = self._canonical(rows)
        known = self.items
        missing = events.select(c.ITEM_ID).unique().join(known, on=c.ITEM_ID, how="anti")
        items = pl.concat([known, missing], how="diagonal").sort(c.ITEM_ID)
        return EventLog(self.name, self.protocol, events, items, self.version, self.rejected)

    def _canonical(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """In order; a null category is the item's, and what was watched a share of its length."""
        events = rows.collect()
        events = events.sort(
            [name for name in ORDER if name in events.columns], maintain_order=True
        )
        items = self.items
        if c.CATEGORY in items.columns:
            own = pl.col(c.CATEGORY) if c.CATEGORY in events.columns else pl.lit(None, pl.String)
            joined = events.join(
                items.select(c.ITEM_ID, pl.col(c.CATEGORY).alias("_of_item")),
                on=c.ITEM_ID,
                how="left",
                maintain_order="left",
            )
            category = own.fill_null(pl.col("_of_item")).alias(c.CATEGORY)
            events = joined.with_columns(category).drop("_of_item")
        return with_watch_ratio(events, items)
