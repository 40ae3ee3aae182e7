"""The rows of one source of the joiner, and which of them no step has read before.

A step commits, with its examples, the next offset and the watermark of every partition that it
read. What is beyond the offset is new to the next step, whatever its event time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.tables.lake import LakeTable

__all__ = ["IS_NEW", "SourceRows", "instant", "microseconds"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READ = (c.KAFKA_PARTITION, c.KAFKA_OFFSET, c.TS, c.WATERMARK, c.REQUEST_ID)
IS_NEW = "_is_new"


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """What a step finds in the table of a stream."""

    table: LakeTable
    new: pl.DataFrame  # READ, of the rows that no step before has read
    watermarks: Mapping[int, datetime]  # of each partition that has one
    versions: Mapping[str, int]  # to commit with the step
    _is_new: pl.Expr

    @classmethod
    def beyond(cls, table: LakeTable, examples: LakeTable) -> "SourceRows":
        """What ``table`` holds beyond the last step's commit to ``examples``."""
        name = f"join/{table.identity}"  # a table made anew at the same path starts anew
        n_partitions = examples.transaction(name) or 0
        offsets = _committed(examples, f"{name}/offset", n_partitions)
        watermarks = _committed(examples, f"{name}/watermark", n_partitions)
        is_new = pl.any_horizontal(
            pl.col(c.KAFKA_PARTITION) >= n_partitions,
            *(
                (pl.col(c.KAFKA_PARTITION) == p) & (pl.col(c.KAFKA_OFFSET) >= offsets.get(p, 0))
                for p in range(n_partitions)
            ),
        )
        new = table.read().filter(is_new).select(READ).collect()
        ends = new.group_by(c.KAFKA_PARTITION).agg(
            pl.col(c.KAFKA_OFFSET).max() + 1, pl.col(c.WATERMARK).max().dt.epoch("us")
        )
        for partition, end, watermark in ends.rows():
            offsets[partition] = end
            if watermark is not None:
                watermarks[partition] = watermark
        versions = {f"{name}/offset[{p}]": at for p, at in offsets.items()}
        versions |= {f"{name}/watermark[{p}]": at for p, at in watermarks.items()}
        versions[name] = max(offsets, default=-1) + 1
        reached = {p: instant(at) for p, at in watermarks.items()}
        return cls(table, new, reached, versions, is_new)

    @property
    def active(self) -> set[int]:
        """The partitions with new rows."""
        return set(self.new[c.KAFKA_PARTITION].unique())

    def since(self, earliest: datetime) -> pl.DataFrame:
        """The rows of requests with ``ts`` from ``earliest`` on, and whether each ``IS_NEW``."""
        rows = self.table.read_since(earliest - timedelta(microseconds=1))
        rows = rows.filter(pl.col(c.REQUEST_ID).is_not_null())
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
