"""The features of one entity at one instant, in microseconds of work."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.online.arrays import Array, Integers
from recbench.features.online.columns import Column
from recbench.features.online.plan import StreamPlan, microseconds
from recbench.features.online.values import ValueTypes

__all__ = ["Events", "OneLookup"]

Aggregate = Callable[[Array], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The events of one entity: positions [begin, end) of ``ts`` and the columns.

    ``folded`` has, for each decayed popularity, what forgotten clicks weigh and at which instant.
    """

    ts: Integers
    columns: Mapping[str, Column]
    begin: int
    end: int
    folded: list[tuple[float, int]]


class OneLookup:
    """The features of one stream, made ready to be answered often."""

    def __init__(self, plan: StreamPlan, types: ValueTypes) -> None:
        self._types = types
        self._names = {feature.name for feature in plan.features}
        windows = [f for f in plan.features if isinstance(f, WindowFeature)]
        spans = sorted({microseconds(feature.window) for feature in windows})
        self._ago = np.array([0, *spans])
        self._windows = [
            (f.name, 1 + spans.index(microseconds(f.window)), f.value, AGGREGATES[f.aggregation])
            for f in windows
        ]
        self._last = [(f.name, f.value, f.k) for f in plan.features if isinstance(f, LastValues)]
        self._since = [f.name for f in plan.features if isinstance(f, SinceLast)]
        decayed = [f for f in plan.features if isinstance(f, DecayedPopularity)]
        self._decayed = [(f.name, microseconds(f.half_life)) for f in decayed]

    def has_one_of(self, names: Iterable[str]) -> bool:
        """Whether it can answer anything of these."""
        return not self._names.isdisjoint(names)

    def answer(self, events: Events, at_us: int, answers: dict[str, Any]) -> None:
        """Set the value of each of the stream's features that ``answers`` has a key of."""
        begin = events.begin
        bounds = events.ts[begin : events.end].searchsorted(at_us - self._ago).tolist()
        end = begin + bounds[0]
        for name, place, value, aggregate in self._windows:
            if name not in answers:
                continue
            first = begin + bounds[place]
            if value is None:
                answers[name] = end - first
                continue
            column = events.columns[value]
            values = column.values[first:end]
            answers[name] = aggregate(values[column.held(values)] if column.has_null else values)
        for name, value, k in self._last:
            if name not in answers:
                continue
            column = events.columns[value]
            values = column.values[max(begin, end - k) : end]
            known = column.held(values).tolist() if column.has_null else None
            answers[name] = self._types.decoded(value, _with_nulls(values.tolist(), known))
        for name in self._since:
            if name not in answers:
                continue
            answers[name] = at_us - events.ts.item(end - 1) if end > begin else None
        for (name, half_life_us), (weight, since) in zip(self._decayed, events.folded, strict=True):
            if name not in answers:
                continue
            # no click weighs more than one: those of a truncated entity may be folded too early
            total = weight * 2.0 ** min(0.0, (since - at_us) / half_life_us)
            if end > begin:
                ages = (events.ts[begin:end] - at_us) / half_life_us
                total += float(np.add.reduce(np.exp2(ages)))
            answers[name] = total


def _with_nulls(values: list[Any], known: list[bool] | None) -> list[Any]:
    if known is None:
        return values
    return [value if held else None for value, held in zip(values, known, strict=True)]


def _sum(values: Array) -> int | float:
    total: int | float = np.add.reduce(values).item()
    return total


def _mean(values: Array) -> float | None:
    return float(np.add.reduce(values)) / len(values) if len(values) else None


def _min(values: Array) -> int | float | None:
    return values.min().item() if len(values) else None


def _max(values: Array) -> int | float | None:
    return values.max().item() if len(values) else None


def _n_unique(values: Array) -> int:
    return len(set(values.tolist()))


AGGREGATES: dict[str, Aggregate] = {
    "count": len,
    "sum": _sum,
    "mean": _mean,
    "min": _min,
    "max": _max,
    "n_unique": _n_unique,
}
