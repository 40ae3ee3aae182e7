"""The tables of one stream in the lake, and how rows and Kafka offsets enter them together.

``events`` and ``dead_letters`` each carry, for every partition of the topic, the offset up to which
its messages are in the table. The offset is committed with the rows, so that a crash at any moment
leaves both or neither.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.tables.lake import LakeTable

__all__ = ["Overtaken", "Position", "StreamTables", "Stretch"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Overtaken(RuntimeError):
    """Somebody else has committed messages of this partition meanwhile."""

    def __init__(self, partition: int, *, expected: int, found: int) -> None:
        super().__init__(
            f"Partition {partition} was to be continued at offset {expected}, but its messages "
            f"are in the lake up to {found}"
        )


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is in the lake."""

    next_offset: int
    largest_ts: int | None  # microseconds since the epoch; None before the first event


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive messages of one partition: those from ``start`` on, before ``end``."""

    start: int
    end: int
    largest_ts: int | None  # of the partition up to here


@dataclass(frozen=True, slots=True)
class StreamTables:
    """``events``, ``dead_letters`` and ``examples`` of the stream in ``folder``.

    Args:
        folder: in the lake.
        source: what the offsets count in: cluster and topic.
    """

    folder: Path
    source: str

    @property
    def events(self) -> LakeTable:
        """Canonical rows, late ones among them (``ts`` before ``watermark``)."""
        return LakeTable(self.folder / "events", by_day=True)

    @property
    def dead_letters(self) -> LakeTable:
        """Messages that are no events: reason, place, key and bytes."""
        return LakeTable(self.folder / "dead_letters")

    @property
    def examples(self) -> LakeTable:
        """Exposures joined with the actions on them."""
        return LakeTable(self.folder / "examples")

    def positions(
        self, partitions: Iterable[int], *, version: int | None = None
    ) -> dict[int, Position]:
        """How far each partition is in the lake; those of which nothing is are left out.

        Args:
            partitions: of the topic.
            version: as of this version of ``events``; default: the latest.
        """
        asked = list(partitions)
        names = [name for p in asked for name in (self._offset(p), self._largest(p))]
        found = self.events.transactions(names, version=version)
        return {
            p: Position(found[self._offset(p)], found.get(self._largest(p)))
            for p in asked
            if self._offset(p) in found
        }

    def recent_rows(self, positions: Mapping[int, Position], *, window: timedelta) -> pl.DataFrame:
        """``event_id`` and ``ts`` of the rows before the positions, at most ``window`` back."""
        starts = [p.largest_ts for p in positions.values() if p.largest_ts is not None]
        if not starts or not self.events.exists:
            return pl.DataFrame(schema={c.EVENT_ID: pl.Int64(), c.TS: c.INSTANT})
        since = EPOCH + timedelta(microseconds=min(starts)) - window
        before = pl.any_horizontal(
            (pl.col(c.KAFKA_PARTITION) == p) & (pl.col(c.KAFKA_OFFSET) < at.next_offset)
            for p, at in positions.items()
        )
        rows = self.events.read_since(since).filter(before)
        return rows.select(c.EVENT_ID, c.TS).collect()

    def commit(
        self, events: pl.DataFrame, dead_letters: pl.DataFrame, stretches: Mapping[int, Stretch]
    ) -> int:
        """Add what the stretches held, and where they end; returns the version of ``events``.

        Dead letters go first. A crash between the two commits leaves dead letters whose offsets
        are known, and that are not added again.

        Args:
            events: rows of the stretches.
            dead_letters: messages of the stretches.
            stretches: by partition, none empty.

        Raises:
            Overtaken: another ingester was here; nothing is added to ``events``.
            OSError: such as no room on the disk; nothing is added.
        """
        if len(dead_letters):
            self._add_dead_letters(dead_letters, stretches)
        versions = {self._offset(p): stretch.end for p, stretch in stretches.items()}
        for partition, stretch in stretches.items():
            if stretch.largest_ts is not None:
                versions[self._largest(partition)] = stretch.largest_ts

        def unless_overtaken(done: Mapping[str, int]) -> tuple[pl.DataFrame, Mapping[str, int]]:
            for partition, stretch in stretches.items():
                found = done.get(self._offset(partition), stretch.start)
                if found > stretch.start:
                    raise Overtaken(partition, expected=stretch.start, found=found)
            return events, versions

        self.events.append_decided(versions, unless_overtaken)
        return self.events.version

    def place(self, partition: int) -> str:
        """What tells the partition from those of other topics and brokers."""
        return f"{self.source}[{partition}]"

    def _add_dead_letters(self, rows: pl.DataFrame, stretches: Mapping[int, Stretch]) -> None:
        versions = {self._offset(p): stretch.end for p, stretch in stretches.items()}

        def those_missing(
            done: Mapping[str, int],
        ) -> tuple[pl.DataFrame, Mapping[str, int]] | None:
            known = {p: done[self._offset(p)] for p in stretches if self._offset(p) in done}
            known_to = pl.col(c.KAFKA_PARTITION).replace_strict(
                list(known), list(known.values()), default=0, return_dtype=pl.Int64
            )
            missing = rows.filter(pl.col(c.KAFKA_OFFSET) >= known_to) if known else rows
            ahead = {
                name: version for name, version in versions.items() if version > done.get(name, -1)
            }
            return (missing, ahead) if len(missing) else None

        self.dead_letters.append_decided(versions, those_missing)

    def _offset(self, partition: int) -> str:
        return f"{self.place(partition)}/offset"

    def _largest(self, partition: int) -> str:
        return f"{self.place(partition)}/largest_ts"
