"""Features of the rows of one stretch of a timeline, from the arrays of a log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.features.definitions import DecayedPopularity, Feature, SinceLast, WindowFeature
from recbench.features.prepared import COUNTS, VALUE, decay_us
from recbench.features.ranges import Numbers, folded, n_distinct, summed
from recbench.features.timeline import Flags, Ints, Stretch, codes_of, run_starts

__all__ = ["LogArrays", "Over", "may_be_null"]

Made = TypeVar("Made")

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class LogArrays:
    """The columns that ``prepared`` made, (R,) each, in order of arrival."""

    counts: dict[str, Flags | None]  # which rows are "events" and "clicks"; None: all of them
    held: dict[str, Flags | None]  # of a value: where it is not null; None: everywhere
    numbers: dict[str, Numbers]  # of a value: Int64 or Float64, 0 for null
    codes: dict[str, Ints]  # of a value whose distinct ones are counted

    @classmethod
    def of(cls, frame: pl.DataFrame, features: Sequence[Feature]) -> Self:
        """What ``features`` need."""
        windows = [f for f in features if isinstance(f, WindowFeature) and f.value is not None]
        distinct = {str(f.value) for f in windows if f.aggregation == "n_unique"}
        numeric = {str(f.value) for f in windows if f.aggregation != "n_unique"}
        columns = {name: frame[f"{VALUE}{name}"] for name in distinct | numeric}
        return cls(
            {of: _unless_all(frame[column]) for of, column in COUNTS.items()},
            {name: _unless_all(column.is_not_null()) for name, column in columns.items()},
            {name: _numbers(columns[name]) for name in numeric},
            {name: codes_of(columns[name])[0] for name in distinct},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Over:
    """The rows of a stretch, and what features of them are made of, each thing once.

    A position counts if its row does and holds the value, where there is one.
    """

    stretch: Stretch
    log: LogArrays
    made: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def answer(self, feature: Feature) -> tuple[Numbers, Flags | None]:
        """(P,) the numbers of a feature, and which are known where it may be null.

        Args:
            feature: any but ``LastValues``.
        """
        if isinstance(feature, SinceLast):
            return self._since_last(feature.of)
        if isinstance(feature, DecayedPopularity):
            return self._decayed(*decay_us(feature)), None
        assert isinstance(feature, WindowFeature)
        return self._window(feature)

    def _window(self, feature: WindowFeature) -> tuple[Numbers, Flags | None]:
        of, value, window = feature.of, str(feature.value), feature.window // MICROSECOND
        if feature.aggregation == "count":
            return self._once(self._count, of, None, window), None
        if feature.aggregation == "sum":
            return self._once(self._total, of, value, window), None
        if feature.aggregation == "n_unique":
            return self._n_unique(of, value, window), None
        n_held = self._once(self._count, of, value, window)
        if feature.aggregation == "mean":
            total = self._once(self._total, of, value, window)
            return total / np.maximum(n_held, 1), n_held > 0
        return self._extreme(feature.aggregation, of, value, window), n_held > 0

    def _once(self, make: Callable[..., Made], *arguments: Any) -> Made:
        key = make.__name__, *arguments
        if key not in self.made:
            self.made[key] = make(*arguments)
        found: Made = self.made[key]
        return found

    def _range(self, window: int) -> tuple[Ints, Ints]:
        return self._once(self.stretch.since, window), self.stretch.now

    def _counting(self, of: str, value: str | None) -> Flags | None:
        """(P,) which positions count; None: all."""
        masks = [self.log.counts[of], None if value is None else self.log.held[value]]
        flags = [mask[self.stretch.rows] for mask in masks if mask is not None]
        return np.logical_and.reduce(flags) if flags else None

    def _n_before(self, of: str, value: str | None) -> Ints:
        """(P + 1,) how many positions count before each one, and before the end."""
        counting = self._once(self._counting, of, value)
        if counting is None:
            return np.arange(len(self.stretch.rows) + 1)
        return _running(counting)

    def _count(self, of: str, value: str | None, window: int) -> Ints:
        return summed(self._once(self._n_before, of, value), *self._range(window))

    def _values(self, value: str, counting: Flags | None, *, nothing: float) -> Numbers:
        """(P,) the value, ``nothing`` where the position does not count."""
        values = self.log.numbers[value][self.stretch.rows]
        if counting is None:
            return values
        return np.where(counting, values, values.dtype.type(nothing))

    def _added(self, of: str, value: str) -> Numbers:
        return self._values(value, self._once(self._counting, of, None), nothing=0)  # as null is

    def _total_before(self, of: str, value: str) -> Ints:
        return _running(self._added(of, value))

    def _total(self, of: str, value: str, window: int) -> Numbers:
        if value == c.CLICKED:  # already at hand wherever clicks are counted
            return self._once(self._count, "clicks", None, window)
        if self.log.numbers[value].dtype == np.int64:
            return summed(self._once(self._total_before, of, value), *self._range(window))
        return folded(np.add, self._added(of, value), *self._range(window), nothing=0)

    def _extreme(self, which: str, of: str, value: str, window: int) -> Numbers:
        operation, sign = (np.minimum, 1) if which == "min" else (np.maximum, -1)
        nothing = sign * _largest(self.log.numbers[value].dtype)
        values = self._values(value, self._once(self._counting, of, value), nothing=nothing)
        return folded(operation, values, *self._range(window), nothing=nothing)

    def _n_unique(self, of: str, value: str, window: int) -> Ints:
        before, (since, now) = self._once(self._n_before, of, value), self._range(window)
        codes = self.log.codes[value][self.stretch.rows]
        counting = self._once(self._counting, of, value)
        kept = codes if counting is None else codes[counting]
        return n_distinct(kept, before[since], before[now])

    def _since_last(self, of: str) -> tuple[Ints, Flags]:
        before, ts = self._once(self._n_before, of, None), self.stretch.ts
        n_now, n_start = before[self.stretch.now], before[self.stretch.start]
        counting = self._once(self._counting, of, None)
        at = np.arange(len(ts)) if counting is None else np.flatnonzero(counting)
        known = n_now > n_start
        since = np.zeros(len(ts), dtype=np.int64)
        since[known] = ts[known] - ts[at[n_now[known] - 1]]
        return since, known

    def _decayed(self, half_life: int, length: int) -> npt.NDArray[np.float64]:
        """A click weighs 2 ** its time in its span; the sum is scaled back to the row's time."""
        ts, start, now = self.stretch.ts, self.stretch.start, self.stretch.now
        elapsed, number = ts % length / half_life, ts // length
        counting = self._once(self._counting, "clicks", None)
        weight = np.exp2(elapsed) if counting is None else np.where(counting, np.exp2(elapsed), 0.0)
        begin = run_starts((start[1:] != start[:-1]) | (number[1:] != number[:-1]))
        held = folded(np.add, weight, begin, now, nothing=0)

        first = np.flatnonzero(begin == np.arange(len(ts)))  # of each span of each entity
        of_span = folded(np.add, weight, first, np.append(first[1:], len(ts)), nothing=0)
        follows = (start[first][1:] == start[first][:-1]) & (np.diff(number[first]) == 1)
        carried = np.zeros(len(first))
        carried[1:] = np.where(follows, of_span[:-1], 0.0) * 2.0 ** -(length / half_life)
        return (held + carried[np.searchsorted(first, begin)]) * np.exp2(-elapsed)


def may_be_null(feature: Feature) -> bool:
    """Whether an entity may be without a value, as there is no mean of nothing."""
    if isinstance(feature, WindowFeature):
        return feature.aggregation in {"mean", "min", "max"}
    return isinstance(feature, SinceLast)


def _running(values: Numbers | Flags) -> Ints:
    """(P + 1,) the sum of all values before each position, and before the end."""
    running = np.zeros(len(values) + 1, dtype=np.int64)
    running[1:] = values  # first, since a running sum that casts is slow
    return np.cumsum(running, out=running)


def _unless_all(flags: pl.Series) -> Flags | None:
    return None if flags.all() else flags.to_numpy()


def _numbers(column: pl.Series) -> Numbers:
    wide = pl.Float64() if column.dtype.is_float() or column.dtype.is_decimal() else pl.Int64()
    return column.cast(wide).fill_null(0).to_numpy()


def _largest(dtype: np.dtype[Any]) -> float:
    return np.inf if dtype == np.float64 else np.iinfo(np.int64).max
