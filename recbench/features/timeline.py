"""The rows of a log put in order: entity after entity, the rows of each in order of time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

__all__ = ["Stretch", "Timeline", "codes_of", "run_starts"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

STRETCH_ROWS = 1 << 15  # what is made of so many rows stays in the processor's cache
LARGEST_KEY = 1 << 62  # leaves room in int64 to subtract a window


@dataclass(frozen=True, eq=False)
class Timeline:
    """The rows that have an entity; those of one instant stand in their order of arrival."""

    rows: Ints  # (N,) row numbers
    starts: Ints  # (E + 1,) where in `rows` each entity begins, and the end
    row_ts: Ints  # (R,) microseconds, of every row of the log by its number

    @classmethod
    def of(cls, entity: pl.Series, ts: Ints) -> Self:
        """Order the rows by (entity, time, row); those without an entity are left out.

        Args:
            entity: (R,) of each row.
            ts: (R,) microseconds.
        """
        codes, n_codes = codes_of(entity)
        in_time = np.all(ts[1:] >= ts[:-1])  # a log nearly always is, and then need not be sorted
        by_time = None if in_time else np.argsort(ts, kind="stable")
        by_code = codes if by_time is None else codes[by_time]
        # a counting sort: a matrix with one value a column, turned from columns into rows
        shape, ones = (n_codes + 1, len(codes)), np.ones(len(codes), dtype=np.int8)
        matrix = sparse.csc_array((ones, by_code, np.arange(len(codes) + 1)), shape=shape).tocsr()
        starts = matrix.indptr[:-1].astype(np.int64)  # the last code stands for no entity
        order = matrix.indices[: starts[-1]].astype(np.int64)
        rows = order if by_time is None else by_time[order]
        return cls(rows, starts, ts)

    @cached_property
    def start(self) -> Ints:
        """(N,) the first position of the same entity."""
        return np.repeat(self.starts[:-1], np.diff(self.starts))

    @cached_property
    def now(self) -> Ints:
        """(N,) the first position of the same entity and instant: what came before ends there."""
        start, ts = self.start, self.row_ts[self.rows]
        return run_starts((start[1:] != start[:-1]) | (ts[1:] != ts[:-1]))[: len(ts)]

    def stretches(self, *, longest: int) -> Iterator["Stretch"]:
        """All rows, cut between entities.

        Args:
            longest: microseconds, of the windows that will be asked for.
        """
        if not len(self.rows):
            return
        earliest = int(self.row_ts.min())
        span = int(self.row_ts.max()) - earliest
        step = span + min(longest, span + 1) + 1  # no window reaches the entity before
        n_entities = len(self.starts) - 1
        by_rows = np.searchsorted(self.starts, np.arange(0, len(self.rows), STRETCH_ROWS))
        by_keys = np.arange(0, n_entities, max(LARGEST_KEY // step, 1))
        cuts = np.unique(np.concatenate([by_rows, by_keys, [n_entities]])).tolist()
        for first, last in pairwise(cuts):
            starts = self.starts[first : last + 1]
            if starts[0] < starts[-1]:
                yield Stretch(self, starts, earliest=earliest, span=span, step=step)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive rows of a timeline, all those of some entities; positions count from its first.

    Its arrays are (P,), made where they are first asked for.
    """

    timeline: Timeline
    starts: Ints  # where in the timeline each entity begins, and the end
    earliest: int = field(kw_only=True)  # microseconds, the first time of the log
    span: int = field(kw_only=True)  # microseconds from there to the last one
    step: int = field(kw_only=True)  # microseconds between the keys of an entity and the next

    @property
    def rows(self) -> Ints:
        """Row numbers."""
        return self.timeline.rows[self.starts[0] : self.starts[-1]]

    @cached_property
    def ts(self) -> Ints:
        """Microseconds."""
        return self.timeline.row_ts[self.rows]

    @cached_property
    def start(self) -> Ints:
        """The first position of the same entity."""
        return np.repeat(self.starts[:-1] - self.starts[0], np.diff(self.starts))

    @cached_property
    def now(self) -> Ints:
        """The first position of the same entity and instant: what came before ends there."""
        return run_starts(self._key[1:] != self._key[:-1])

    @cached_property
    def _key(self) -> Ints:
        """The time, set apart from the times of other entities further than any window reaches."""
        n_entities = len(self.starts) - 1
        apart = np.repeat(np.arange(n_entities) * self.step, np.diff(self.starts))
        return apart + (self.ts - self.earliest)

    @cached_property
    def _last_key(self) -> Ints:
        """The key of the row before the instant; of the first instant its own."""
        return self._key[np.maximum(self.now - 1, 0)]

    def since(self, window: int) -> Ints:
        """The first position of the same entity that is at most ``window`` microseconds back."""
        bound = self._key - min(window, self.span + 1)
        since = self.now.copy()
        held = np.flatnonzero(self._last_key >= bound)  # short windows are mostly empty
        since[held] = np.searchsorted(self._key, bound[held])
        return since


def run_starts(changes: Flags) -> Ints:
    """(P,) for each of P rows the first of its run, where (P - 1,) ``changes`` begin a new one."""
    position = np.arange(1, len(changes) + 1)
    return np.concatenate([[0], np.maximum.accumulate(np.where(changes, position, 0))])


def codes_of(values: pl.Series) -> tuple[Ints, int]:
    """(R,) equal numbers for equal values, and a bound for them, which stands for null itself."""
    frame, bound = pl.DataFrame({"value": values}).with_row_index("row"), len(values)
    if values.dtype.is_integer() and values.null_count() < bound:
        least, largest = frame.select(pl.min("value"), largest=pl.max("value")).row(0)
        if largest - least < 4 * bound and largest < 1 << 63:  # few enough to count, unseen
            bound = largest - least + 1
            near = (pl.col("value").cast(pl.Int64) - least).fill_null(bound)
            return frame.select(near).to_series().to_numpy(), bound
    first_row = pl.col("row").first().over("value")
    codes = pl.when(pl.col("value").is_null()).then(bound).otherwise(first_row)
    return frame.select(codes.cast(pl.Int64)).to_series().to_numpy(), bound
