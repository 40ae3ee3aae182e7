"""Watermarks: how far event time has come in each partition of a stream, and which rows are late.

The watermark of a partition is the largest ``ts`` it has carried, less the allowed lateness. A row
is late when its ``ts`` is before the watermark that stood when it came. That depends on the order
of the partition alone, so every reader of it finds the same rows late.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Watermarks"]

Instants = npt.NDArray[np.int64]

MICROSECOND = timedelta(microseconds=1)
NEVER = np.iinfo(np.int64).min  # the largest ts of a partition that has carried nothing


@dataclass(slots=True, eq=False)
class Watermarks:
    """The largest ``ts`` of each partition so far; instants are microseconds since the epoch."""

    allowed_lateness: timedelta
    largest: dict[int, int] = field(default_factory=dict)  # partition -> microseconds

    def __post_init__(self) -> None:
        """Refuse a lateness below zero."""
        if self.allowed_lateness < timedelta(0):
            raise InputError(
                f"`allowed_lateness` must not be negative, got {self.allowed_lateness}"
            )

    @property
    def current(self) -> int | None:
        """The watermark of the whole stream: the one of its slowest partition; None before any."""
        return min(self.largest.values()) - self._lateness if self.largest else None

    def advance(self, partitions: npt.NDArray[np.int32], ts: Instants) -> Instants:
        """The watermark just before each row, (N,); the smallest int64 before a first row.

        Args:
            partitions: (N,) of each row.
            ts: (N,) event times, within a partition in the order in which they came.
        """
        before = np.empty(len(ts), dtype=np.int64)
        for partition in np.unique(partitions).tolist():
            rows = np.flatnonzero(partitions == partition)
            first = self.largest.get(partition, NEVER)
            seen = np.maximum.accumulate(np.concatenate([[first], ts[rows]]))
            before[rows] = np.where(seen[:-1] == NEVER, NEVER, seen[:-1] - self._lateness)
            self.largest[partition] = int(seen[-1])
        return before

    def restore(self, largest: Mapping[int, int]) -> None:
        """Go on from what was the largest ``ts`` of these partitions."""
        self.largest.update(largest)

    def forget(self, partition: int) -> None:
        """Leave out a partition that somebody else reads now."""
        self.largest.pop(partition, None)

    @property
    def _lateness(self) -> int:
        return self.allowed_lateness // MICROSECOND
