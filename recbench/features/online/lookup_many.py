"""The features of many entities, each at an instant of its own, as vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.online.arrays import Array, Integers, flat_ranges, lower_bounds
from recbench.features.online.columns import NULL, Column
from recbench.features.online.plan import StreamPlan, microseconds
from recbench.features.online.values import ValueTypes

__all__ = ["ManyEvents", "many_answers"]


@dataclass(frozen=True, slots=True, eq=False)
class ManyEvents:
    """The events of N entities: of each the positions [begin, end) of ``ts`` and the columns.

    ``folded`` has, for each decayed popularity, what forgotten clicks weigh (N,) and at which
    instants (N,).
    """

    ts: Integers
    columns: Mapping[str, Column]
    begins: Integers
    ends: Integers
    folded: Sequence[tuple[Array, Integers]]


def many_answers(
    plan: StreamPlan, types: ValueTypes, events: ManyEvents, *, at_us: Integers
) -> dict[str, pl.Series]:
    """A series (N,) for each feature of the stream, by name."""
    ends = lower_bounds(events.ts, events.begins, events.ends, at_us)
    folded = iter(events.folded)
    answers = {}
    for feature in plan.features:
        if isinstance(feature, WindowFeature):
            since = at_us - microseconds(feature.window)
            run = _Runs(events, lower_bounds(events.ts, events.begins, ends, since), ends)
            answer = run.aggregated(feature, types)
        elif isinstance(feature, LastValues):
            run = _Runs(events, np.maximum(events.begins, ends - feature.k), ends)
            answer = run.listed(feature, types)
        elif isinstance(feature, SinceLast):
            last = np.where(ends > events.begins, at_us - events.ts[ends - 1], NULL)
            answer = _nullable(last)
        else:
            run = _Runs(events, events.begins, ends)
            answer = pl.Series(run.decayed(feature, next(folded), at_us=at_us))
        answers[feature.name] = answer.alias(feature.name)
    return answers


class _Runs:
    """N runs [begin, end) of events."""

    def __init__(self, events: ManyEvents, begins: Integers, ends: Integers) -> None:
        self._events = events
        self._lengths = ends - begins
        self._at = flat_ranges(begins, self._lengths)
        self._owners = np.repeat(np.arange(len(begins)), self._lengths)

    def aggregated(self, feature: WindowFeature, types: ValueTypes) -> pl.Series:
        if feature.value is None:
            return pl.Series(self._lengths)
        column = self._events.columns[feature.value]
        held = column.held(column.values[self._at])
        values, owners = column.values[self._at[held]], self._owners[held]
        n_held = np.bincount(owners, minlength=len(self._lengths))
        dtype = types.sum_dtype(feature.value)
        if feature.aggregation == "n_unique":
            return pl.Series(_n_unique(values, owners, n=len(n_held)))
        if feature.aggregation in {"min", "max"}:
            return _extreme(values, n_held, largest=feature.aggregation == "max").cast(dtype)
        totals = _totals(values, owners, n_held)
        if feature.aggregation == "sum":
            return pl.Series(totals).cast(dtype)
        means = np.full(len(n_held), np.nan)
        np.divide(totals, n_held, out=means, where=n_held > 0)
        return pl.Series(means).fill_nan(None)

    def listed(self, feature: LastValues, types: ValueTypes) -> pl.Series:
        column = self._events.columns[feature.value]
        values = column.values[self._at]
        known = column.held(values).tolist()
        pairs = zip(values.tolist(), known, strict=True)
        decoded = types.decoded(feature.value, [value if held else None for value, held in pairs])
        ends = np.cumsum(self._lengths)
        begins = (ends - self._lengths).tolist()
        lists = [decoded[begin:end] for begin, end in zip(begins, ends.tolist(), strict=True)]
        return pl.Series(lists, dtype=pl.List(types.dtype(feature.value)))

    def decayed(
        self, feature: DecayedPopularity, folded: tuple[Array, Integers], *, at_us: Integers
    ) -> Array:
        half_life_us = microseconds(feature.half_life)
        weights, since = folded
        ages = (self._events.ts[self._at] - at_us[self._owners]) / half_life_us
        total: Array = weights * np.exp2(np.minimum(0.0, (since - at_us) / half_life_us))
        return total + np.bincount(self._owners, weights=np.exp2(ages), minlength=len(at_us))


def _totals(values: Array, owners: Integers, n_held: Integers) -> Array:
    """(N,) sums, exact for integers."""
    if values.dtype.kind == "f":
        return np.bincount(owners, weights=values, minlength=len(n_held))
    summed = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(n_held)
    totals: Integers = summed[ends] - summed[ends - n_held]
    return totals


def _extreme(values: Array, n_held: Integers, *, largest: bool) -> pl.Series:
    """(N,) the smallest or largest value of each; null where there is none."""
    some = n_held > 0
    first = (np.cumsum(n_held) - n_held)[some]
    found = pl.Series([None], dtype=pl.Float64 if values.dtype.kind == "f" else pl.Int64)
    if len(first):
        reduced = (np.maximum if largest else np.minimum).reduceat(values, first)
        found = pl.concat([pl.Series(reduced).cast(found.dtype), found])
    # those that have none point at the null behind the others
    return found.gather(np.where(some, np.cumsum(some) - 1, len(found) - 1))


def _n_unique(values: Array, owners: Integers, *, n: int) -> Integers:
    order = np.lexsort((values, owners))
    values, owners = values[order], owners[order]
    first = np.ones(len(values), dtype=bool)
    first[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    return np.bincount(owners[first], minlength=n)


def _nullable(values: Integers) -> pl.Series:
    series = pl.Series(values)
    return series.set(series == NULL, None)
