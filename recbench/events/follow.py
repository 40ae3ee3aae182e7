"""Kafka to the online features: a backfill from the lake, then the live stream, without a seam.

The lake tells, for one version of its table, the rows and the offsets behind the last of them. The
follower fills the store with those rows and reads the topic from those offsets on, with the very
rules of the ingester: what is a duplicate, and what is late, is the same for both.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.intake import DEDUPLICATION_WINDOW, Intake
from recbench.events.reader import MOST_AT_ONCE, Ownership, TopicReader
from recbench.events.stream_tables import StreamTables
from recbench.features.online.store import Updated

__all__ = ["FollowStatus", "FollowedStore", "Follower"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLL_S = 0.02
REPORT_EVERY_S = 1.0


class FollowedStore(Protocol):
    """What a follower needs of an online store."""

    @property
    def positions(self) -> Mapping[str, int]:
        """Partition of the stream -> next offset; empty before the first update."""
        ...

    def update(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> Updated:
        """Take rows in their order of arrival, and with them the positions after them."""
        ...


@dataclass(slots=True)
class FollowStatus:
    """How far a follower is."""

    n_backfilled: int = 0
    n_events: int = 0  # live ones
    n_duplicates: int = 0
    n_dead_letters: int = 0
    n_late: int = 0
    lag: int | None = None  # None: not known
    events_per_s: float = 0.0
    watermark: datetime | None = None
    unreachable: str | None = None
    _seen: tuple[float, int] = field(default_factory=lambda: (time.monotonic(), 0), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Every field by name."""
        watermark = self.watermark.isoformat() if self.watermark is not None else None
        values = {name: getattr(self, name) for name in self.__slots__ if name != "_seen"}
        return values | {"watermark": watermark, "events_per_s": round(self.events_per_s, 1)}


class Follower:
    """Keeps one store up with one topic.

    Args:
        store: empty, or as it was left by a follower of the same topic.
        tables: the topic's stream in the lake; need not exist yet.
        settings: of librdkafka.
        topic: what to read.
        new_intake: the state between messages and rows, as the ingester makes it.
        on_status: called about every second, and at the end.
        batch_rows: how many messages at most go into one update.
    """

    def __init__(
        self,
        store: FollowedStore,
        tables: StreamTables,
        *,
        settings: Mapping[str, Any],
        topic: str,
        new_intake: Callable[[], Intake],
        on_status: Callable[[FollowStatus], None] = lambda _: None,
        batch_rows: int = MOST_AT_ONCE,
    ) -> None:
        self.store = store
        self.status = FollowStatus()
        self._tables = tables
        self._settings = settings
        self._topic = topic
        self._intake = new_intake()
        self._on_status = on_status
        self._batch_rows = batch_rows
        self._reported_at = 0.0
        self._held: dict[int, int] = {}  # where the store is ahead of what is read

    def run(self, stop: threading.Event, *, until_end: bool = False) -> FollowStatus:
        """Backfill, then follow until ``stop`` is set.

        Args:
            stop: checked many times a second.
            until_end: stop by itself where the topic ended when the reading began.

        Raises:
            InputError: the topic's offsets do not go on where the store or the lake ends.
        """
        nothing = Ownership(self._begin, leaving=lambda: None, lost=lambda: None)
        reader = TopicReader(self._settings, self._topic, group=None, ownership=nothing)
        try:
            while not stop.is_set() and not (until_end and reader.is_at_end()):
                self._step(reader)
                self._report(reader)
            self._report(reader, always=True)
        finally:
            reader.close()
        return self.status

    def _step(self, reader: TopicReader) -> None:
        messages = reader.read(self._batch_rows, timeout_s=POLL_S)
        if not len(messages):
            return
        taken = self._intake.take(messages)
        events = self._not_held(taken.events)
        self._held = {p: held for p, held in self._held.items() if held > reader.at[p]}
        self._update(events, reader.at | self._held)
        self.status.n_events += len(events)
        self.status.n_duplicates += taken.n_duplicates
        self.status.n_dead_letters += len(taken.dead_letters)
        self.status.n_late += taken.n_late

    def _begin(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where to start each partition, with the store and the intake as of there.

        A store that was ahead of the lake gets nothing twice: the messages in between are read for
        the intake alone.
        """
        events, places = self._tables.events, {self._tables.place(p): p for p in partitions}
        foreign = [name for name in self.store.positions if name not in places]
        if foreign:
            raise InputError(
                f"The store holds the features of another stream, up to {foreign[0]}; give "
                f"`{self._topic}` a store of its own"
            )
        self._held = {places[name]: at for name, at in self.store.positions.items()}
        if not events.exists:
            return {}
        version = events.version
        lake = self._tables.positions(partitions, version=version)
        self._intake.restore(
            {p: at.largest_ts for p, at in lake.items() if at.largest_ts is not None},
            self._tables.recent_rows(lake, window=DEDUPLICATION_WINDOW),
        )
        starts = {partition: at.next_offset for partition, at in lake.items()}
        rows = self._not_held(events.read(version).collect())
        if len(rows):
            rows = rows.sort(c.TS, c.KAFKA_PARTITION, c.KAFKA_OFFSET)
            self._update(rows, {p: max(at, self._held.get(p, 0)) for p, at in starts.items()})
            self.status.n_backfilled = len(rows)
        return starts

    def _not_held(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that the store has not taken in yet."""
        if not self._held:
            return rows
        held = pl.any_horizontal(
            (pl.col(c.KAFKA_PARTITION) == p) & (pl.col(c.KAFKA_OFFSET) < at)
            for p, at in self._held.items()
        )
        return rows.filter(~held)

    def _update(self, events: pl.DataFrame, ends: Mapping[int, int]) -> None:
        self.store.update(
            events,
            positions={self._tables.place(partition): at for partition, at in ends.items()},
            watermark_us=self._intake.watermarks.current,
        )

    def _report(self, reader: TopicReader, *, always: bool = False) -> None:
        now, (then, before) = time.monotonic(), self.status._seen
        if not always and now - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at = now
        status, current = self.status, self._intake.watermarks.current
        status.events_per_s = (status.n_events - before) / max(now - then, 1e-9)
        status._seen = (now, status.n_events)
        status.lag, status.unreachable = reader.lag(), reader.unreachable
        status.watermark = None if current is None else EPOCH + timedelta(microseconds=current)
        self._on_status(status)
