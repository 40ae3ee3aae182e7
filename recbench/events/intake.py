"""Messages in, clean rows out: decoded, each event once, each row with the watermark before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.events.messages import MessageDecoder, Messages
from recbench.events.recent_ids import RecentIds
from recbench.tables.watermarks import NEVER, Watermarks

__all__ = ["DEDUPLICATION_WINDOW", "Intake", "Taken"]

DEDUPLICATION_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What some messages held."""

    events: pl.DataFrame  # canonical, with kafka_partition, kafka_offset and watermark
    dead_letters: pl.DataFrame
    n_duplicates: int  # events whose id was there before, left out
    n_late: int  # of the events


class Intake:
    """The state between messages and rows: ids seen lately, and watermarks.

    Every reader of a topic that starts at the same place takes the same rows from it, whatever the
    size of its batches.

    Args:
        decoder: of the topic's messages.
        allowed_lateness: how far behind the latest event of its partition one may come.
        deduplication_window: for how long, in event time, an id is remembered.
    """

    def __init__(
        self,
        decoder: MessageDecoder,
        *,
        allowed_lateness: timedelta,
        deduplication_window: timedelta = DEDUPLICATION_WINDOW,
    ) -> None:
        self.watermarks = Watermarks(allowed_lateness)
        self._decoder = decoder
        self._recent = RecentIds(deduplication_window)

    def restore(self, largest_ts: Mapping[int, int], rows: pl.DataFrame) -> None:
        """Go on after rows that were taken before.

        Args:
            largest_ts: the largest ``ts`` of each partition, microseconds since the epoch.
            rows: ``event_id`` and ``ts`` of the rows within the deduplication window.
        """
        self.watermarks.restore(largest_ts)
        self._is_new(rows)

    def take(self, messages: Messages) -> Taken:
        """The rows of the messages, which go on where the last ones ended."""
        decoded = self._decoder.decode(messages)
        is_new = self._is_new(decoded.events)
        events = decoded.events
        if not is_new.all():
            events = events.filter(pl.Series(is_new, dtype=pl.Boolean))
        ts = events[c.TS].dt.epoch("us").to_numpy()
        before = self.watermarks.advance(events[c.KAFKA_PARTITION].to_numpy(), ts)
        watermark = pl.Series(c.WATERMARK, before).set(pl.Series(before == NEVER), None)
        return Taken(
            events.with_columns(watermark.cast(c.INSTANT)),
            decoded.dead_letters,
            n_duplicates=len(is_new) - len(events),
            n_late=int((ts < before).sum()),
        )

    def _is_new(self, rows: pl.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        if not len(rows):
            return np.zeros(0, dtype=np.bool_)
        ts = rows[c.TS].dt.epoch("us").to_numpy()
        oldest = min(self.watermarks.largest.values(), default=int(ts.min()))
        return self._recent.add(rows[c.EVENT_ID], ts, oldest=oldest)
