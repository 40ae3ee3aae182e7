"""Kafka to Delta: micro-batches whose rows and offsets enter the lake in one commit.

One thread reads and decodes while another writes the batch before; more than one batch never waits,
so a slow disk slows the reading down and the rest stays in the broker. What was read and not
committed is forgotten whenever partitions change hands or somebody else was first, and read again
from where the lake says.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from recbench.events.intake import DEDUPLICATION_WINDOW, Intake, Taken
from recbench.events.messages import Messages
from recbench.events.reader import Ownership, TopicReader
from recbench.events.status import IngestStatus
from recbench.events.stream_tables import Overtaken, StreamTables, Stretch

__all__ = ["BatchLimits", "Ingest"]

POLL_S = 0.1
REPORT_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """When a batch is written: at either limit."""

    rows: int = 100_000
    seconds: float = 5.0
    compact_every_s: float = 600.0  # small files are merged by the ingester of partition 0


class OpenReader(Protocol):
    """Opens the topic for an ingester that wants to be told of its partitions."""

    def __call__(self, *, ownership: Ownership) -> TopicReader:
        """A reader that calls ``ownership``."""


@dataclass(slots=True, eq=False)
class _Batch:
    """What was taken since the last hand-over."""

    starts: dict[int, int]
    ends: dict[int, int]
    taken: list[Taken] = field(default_factory=list)
    n_messages: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, taken: Taken, messages: Messages) -> None:
        self.taken.append(taken)
        self.n_messages += len(messages)
        for partition in np.unique(messages.partitions).tolist():
            offsets = messages.offsets[messages.partitions == partition]
            self.starts.setdefault(partition, int(offsets[0]))
            self.ends[partition] = int(offsets[-1]) + 1

    def next(self) -> "_Batch":
        return _Batch(dict(self.ends), dict(self.ends))

    def is_due(self, limits: BatchLimits) -> bool:
        if not self.n_messages:
            return False
        waited_s = time.monotonic() - self.since
        return self.n_messages >= limits.rows or waited_s >= limits.seconds


class Ingest:
    """One ingester; several in one group share the topic's partitions.

    Args:
        tables: where the rows go.
        open_reader: opens the topic; called once, by ``run``.
        new_intake: a fresh state between messages and rows.
        limits: of a batch.
        on_status: called about every second, and at the end.
    """

    def __init__(
        self,
        tables: StreamTables,
        *,
        open_reader: OpenReader,
        new_intake: Callable[[], Intake],
        limits: BatchLimits,
        on_status: Callable[[IngestStatus], None],
    ) -> None:
        self.status = IngestStatus()
        self._tables = tables
        self._open_reader = open_reader
        self._new_intake = new_intake
        self._limits = limits
        self._on_status = on_status
        self._intake = new_intake()
        self._batch = _Batch({}, {})
        self._writing: Future[None] | None = None
        self._compacting: Future[int] | None = None
        self._compacted_at = time.monotonic()
        self._reported_at = 0.0
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ingest")

    def run(self, stop: threading.Event, *, until_end: bool = False) -> IngestStatus:
        """Ingest until ``stop`` is set; what was read by then is committed.

        Args:
            stop: checked about every tenth of a second.
            until_end: stop by itself where the topic ended when the reading began.

        Raises:
            InputError: the topic's offsets do not go on where the lake ends.
            OSError: the lake cannot be written, such as on a full disk; nothing is lost, the next
                start goes on after the last commit.
        """
        reader = self._open_reader(ownership=Ownership(self._gained, self._leaving, self._drop))
        try:
            while not stop.is_set() and not (until_end and reader.is_at_end()):
                self._step(reader)
            self._finish(reader)
        except Exception as error:
            self._drop()
            self.status.failed(str(error))
            self._report(reader, always=True)
            raise
        finally:
            self._threads.shutdown(wait=True)
            reader.close()
        return self.status

    def _step(self, reader: TopicReader) -> None:
        messages = reader.read(self._limits.rows, timeout_s=POLL_S)
        if len(messages):
            self._batch.add(self._intake.take(messages), messages)
        try:
            if self._batch.is_due(self._limits):
                self._hand_over(reader)
            elif self._writing is not None and self._writing.done():
                self._collect()
        except Overtaken:
            self._start_over(reader)
        self._maintain(reader)
        self._report(reader)

    def _hand_over(self, reader: TopicReader | None) -> None:
        """Give the batch to the writing thread, as soon as that has written the one before."""
        self._collect()
        if not self._batch.n_messages:
            return
        batch, self._batch = self._batch, self._batch.next()
        largest = dict(self._intake.watermarks.largest)
        self._writing = self._threads.submit(self._write, batch, largest)
        if reader is not None:
            reader.tell_group(batch.starts)  # committed in the lake by now

    def _write(self, batch: _Batch, largest: Mapping[int, int]) -> None:
        events = pl.concat([taken.events for taken in batch.taken], how="diagonal")
        dead_letters = pl.concat([taken.dead_letters for taken in batch.taken])
        stretches = {
            partition: Stretch(batch.starts[partition], end, largest.get(partition))
            for partition, end in batch.ends.items()
            if end > batch.starts[partition]
        }
        version = self._tables.commit(events, dead_letters, stretches)
        self.status.committed(batch.taken, version=version, n_messages=batch.n_messages)

    def _collect(self) -> None:
        """Wait for the batch that is being written; its failure is raised here."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _gained(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Where the lake says that these partitions go on; the state is that of the lake, too."""
        positions = self._tables.positions(partitions)
        self._intake = self._new_intake()
        self._intake.restore(
            {p: at.largest_ts for p, at in positions.items() if at.largest_ts is not None},
            self._tables.recent_rows(positions, window=DEDUPLICATION_WINDOW),
        )
        starts = {partition: at.next_offset for partition, at in positions.items()}
        self._batch = _Batch(dict(starts), dict(starts))
        return starts

    def _leaving(self) -> None:
        try:
            self._hand_over(None)
            self._collect()
        except Overtaken:
            self._drop()

    def _drop(self) -> None:
        """Forget what was read and not committed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.exception()
        self._batch = _Batch({}, {})

    def _start_over(self, reader: TopicReader) -> None:
        """Somebody else was first: go on from where the lake is now."""
        self.status.n_overtaken += 1
        held = list(reader.at)
        self._drop()
        reader.go_to(self._gained(held))

    def _finish(self, reader: TopicReader) -> None:
        """Commit what was read, unless somebody else has."""
        self._leaving()
        reader.tell_group(self._batch.ends)
        self.status.state = "stopped"
        self._report(reader, always=True)

    def _maintain(self, reader: TopicReader) -> None:
        due = time.monotonic() - self._compacted_at >= self._limits.compact_every_s
        if due and 0 in reader.at and self._tables.events.exists:
            if self._compacting is not None:
                self._compacting.result()
            self._compacted_at = time.monotonic()
            self._compacting = self._threads.submit(self._tables.events.compact)

    def _report(self, reader: TopicReader, *, always: bool = False) -> None:
        if not always and time.monotonic() - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at = time.monotonic()
        self.status.observe(
            lag=reader.lag(),
            watermark_us=self._intake.watermarks.current,
            partitions=sorted(reader.at),
            unreachable=reader.unreachable,
        )
        self._on_status(self.status)
