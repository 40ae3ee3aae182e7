"""The rows of one source of the joiner, and which of them no step has read before.

A step commits, with its examples, the next offset and the watermark of every partition that it
read. What is beyond the offset is new to the next step, whatever its event time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.tables.lake import LakeTable

__all__ = ["IS_NEW", "SourceRows", "instant", "microseconds"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READ = (c.KAFKA_PARTITION, c.KAFKA_OFFSET, c.TS, c.WATERMARK, c.REQUEST_ID)
IS_NEW = "_is_new"
PARTITION, OFFSET = pl.col(c.KAFKA_PARTITION), pl.col(c.KAFKA_OFFSET)


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """What a step finds in the table of a stream."""

    table: LakeTable
    new: pl.DataFrame  # READ, of the rows that no step before has read
    watermarks: Mapping[int, datetime]  # of each partition that has one
    versions: Mapping[str, int]  # to commit with the step
    is_last: bool  # nothing is left for a further step
    _is_new: pl.Expr
    _is_read: pl.Expr

    @classmethod
    def beyond(cls, table: LakeTable, examples: LakeTable, *, max_rows: int) -> "SourceRows":
        """What ``table`` holds beyond the last step's commit to ``examples``.

        Args:
            table: of a stream.
            examples: may not exist yet.
            max_rows: of each partition; the rest is for the next step.
        """
        name = f"join/{table.identity}"  # a table made anew at the same path starts anew
        n_partitions = examples.transaction(name) or 0
        offsets = _committed(examples, f"{name}/offset", n_partitions)
        watermarks = _committed(examples, f"{name}/watermark", n_partitions)
        stretches = _stretches(table, offsets, n_partitions=n_partitions)
        starts = {p: start for p, start, _ in stretches}
        ends = {p: min(end, start + max_rows) for p, start, end in stretches}
        is_new = _any(PARTITION.eq(p) & OFFSET.is_between(starts[p], ends[p] - 1) for p in ends)
        offsets |= ends
        new = table.read().filter(is_new).select(READ).collect()
        reached = new.group_by(c.KAFKA_PARTITION).agg(pl.col(c.WATERMARK).max().dt.epoch("us"))
        watermarks |= dict(reached.drop_nulls().rows())
        versions = {f"{name}/offset[{p}]": at for p, at in offsets.items()}
        versions |= {f"{name}/watermark[{p}]": at for p, at in watermarks.items()}
        versions[name] = max(offsets, default=-1) + 1
        return cls(
            table,
            new,
            {p: instant(at) for p, at in watermarks.items()},
            versions,
            is_last=all(ends[p] == end for p, _, end in stretches),
            _is_new=is_new,
            _is_read=_any(PARTITION.eq(p) & OFFSET.lt(at) for p, at in offsets.items()),
        )

    @property
    def active(self) -> set[int]:
        """The partitions with new rows."""
        return set(self.new[c.KAFKA_PARTITION].unique())

    def rows(self, earliest: datetime, *, before: datetime | None = None) -> pl.DataFrame:
        """The rows of requests that are read, with ``ts`` from ``earliest`` on, and ``IS_NEW``."""
        rows = self.table.read_since(earliest - timedelta(microseconds=1))
        rows = rows.filter(pl.col(c.REQUEST_ID).is_not_null(), self._is_read)
        if before is not None:
            rows = rows.filter(pl.col(c.TS) < before)
        return rows.with_columns(self._is_new.alias(IS_NEW)).collect()


def instant(microseconds_since_epoch: int) -> datetime:
    """The instant, in UTC."""
    return EPOCH + timedelta(microseconds=microseconds_since_epoch)


def microseconds(at: datetime) -> int:
    """Since the epoch."""
    return (at - EPOCH) // timedelta(microseconds=1)


def _committed(examples: LakeTable, name: str, n_partitions: int) -> dict[int, int]:
    names = {f"{name}[{p}]": p for p in range(n_partitions)}
    return {names[found]: at for found, at in examples.transactions(names).items()}


def _stretches(
    table: LakeTable, offsets: Mapping[int, int], *, n_partitions: int
) -> list[tuple[int, int, int]]:
    """Each partition with rows beyond the offsets, the first of them, and where they end."""
    # one comparison for each partition: by them the reader leaves out files that were read before
    is_beyond = [PARTITION.eq(p) & OFFSET.ge(offsets.get(p, 0)) for p in range(n_partitions)]
    rows = table.read().filter(_any([*is_beyond, PARTITION.ge(n_partitions)]))
    ends = rows.group_by(c.KAFKA_PARTITION).agg(OFFSET.min().alias("start"), OFFSET.max() + 1)
    return ends.collect().rows()


def _any(claims: Iterable[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(pl.lit(False), *claims)
