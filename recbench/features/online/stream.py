"""The events of one kind of entity, appended in batches and forgotten when nothing needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from recbench.features.definitions import DecayedPopularity
from recbench.features.online.arrays import Array, Integers, flat_ranges, lower_bounds
from recbench.features.online.decayed import Decayed
from recbench.features.online.plan import SEQUENCE, StreamPlan
from recbench.features.online.slabs import Slabs

__all__ = ["Appended", "Stream"]


@dataclass(frozen=True, slots=True, eq=False)
class Appended:
    """The entities that got events, and from which position on theirs are new or have moved."""

    rows: Integers  # each once
    changed: Integers


class Stream:
    """One stream of events an entity; what it forgets of clicks goes on in their popularity."""

    def __init__(self, plan: StreamPlan, *, max_events: int) -> None:
        self.plan = plan
        self.slabs = Slabs(plan.columns)
        self.decayed = [Decayed(f) for f in plan.features if isinstance(f, DecayedPopularity)]
        self._max_events = max_events

    def cover(self, n_rows: int) -> None:
        """Have a place for entities up to row ``n_rows``."""
        self.slabs.cover(n_rows)
        for decayed in self.decayed:
            decayed.cover(n_rows)

    def append(
        self, rows: Integers, ts: Integers, values: Mapping[str, Array], *, watermark_us: int | None
    ) -> Appended:
        """Add events (N,) of the entities ``rows`` (N,), in order of arrival."""
        order = _grouped(rows, ts)
        ordered = rows[order]
        firsts = np.flatnonzero(np.diff(ordered, prepend=-1))
        unique = ordered[firsts]
        counts = np.diff(firsts, append=len(rows))
        self.slabs.make_room(unique, counts, expire=partial(self.expire, watermark_us=watermark_us))
        moved = {name: values[name][order] for name in self.slabs.columns}
        return Appended(unique, self.slabs.append(unique, counts, ts[order], moved))

    def truncate(self, rows: Integers) -> Integers:
        """Let the oldest events go of the entities that have too many; gives those entities."""
        begins, ends = self.slabs.spans(rows)
        excess = np.maximum(ends - begins - self._max_events, 0)
        self._drop(rows, excess)
        truncated: Integers = rows[excess > 0]
        return truncated

    def expire(self, rows: Integers, *, watermark_us: int | None) -> None:
        """Forget what no lookup from the watermark on can see."""
        if watermark_us is not None:
            self._drop(rows, self._expired(rows, watermark_us))

    def patch(
        self, name: str, rows: Integers, *, ts: Integers, sequence: Integers, values: Array
    ) -> None:
        """Correct a value of events that are known by time and number, where they still are."""
        begins, ends = self.slabs.spans(rows)
        first = lower_bounds(self.slabs.ts, begins, ends, ts)
        last = lower_bounds(self.slabs.ts, begins, ends, ts + 1)
        numbers = self.slabs.columns[SEQUENCE].values
        at = lower_bounds(numbers, first, last, sequence)
        found = at < last
        found[found] = numbers[at[found]] == sequence[found]
        self.slabs.columns[name].write(at[found], values[found])

    def idle(self, rows: Integers, *, watermark_us: int, idle_us: int | None) -> Array:
        """(N,) whether entities have nothing left, or nothing later than ``idle_us`` ago."""
        begins, ends = self.slabs.spans(rows)
        idle: Array = ends == begins
        if idle_us is not None:
            idle |= self.slabs.ts[ends - 1] < watermark_us - idle_us
        for decayed in self.decayed:
            idle &= decayed.negligible(rows, at_us=watermark_us, idle_us=idle_us)
        return idle

    def clear(self, rows: Integers) -> None:
        """Forget the entities wholly."""
        self.slabs.clear(rows)
        for decayed in self.decayed:
            decayed.values[rows] = 0.0

    def _expired(self, rows: Integers, watermark_us: int) -> Integers:
        plan = self.plan
        begins, ends = self.slabs.spans(rows)

        def before(at_us: int) -> Integers:
            return lower_bounds(self.slabs.ts, begins, ends, np.full(len(rows), at_us)) - begins

        gone = before(watermark_us - plan.window_us)
        if plan.last:
            gone = np.minimum(gone, before(watermark_us) - plan.last)
        if plan.jump_us is not None:
            gone = np.minimum(gone, before(watermark_us - plan.jump_us) - 1)
        return np.maximum(gone, 0)

    def _drop(self, rows: Integers, counts: Integers) -> None:
        losing = counts > 0
        rows, counts = rows[losing], counts[losing]
        if not len(rows):
            return
        if self.decayed:
            begins, _ = self.slabs.spans(rows)
            ts = self.slabs.ts[flat_ranges(begins, counts)]
            for decayed in self.decayed:
                decayed.fold(rows, counts, ts=ts)
        self.slabs.drop(rows, counts)


def _grouped(rows: Integers, ts: Integers) -> Integers:
    """(N,) the order by row, then time, then arrival."""
    n_events = len(rows)
    by_time = np.argsort(ts, kind="stable") if np.any(ts[1:] < ts[:-1]) else np.arange(n_events)
    # a plain sort of such keys is several times as fast as a stable one of the rows
    keys = np.sort(rows[by_time] * n_events + np.arange(n_events))
    order: Integers = by_time[keys % n_events]
    return order
