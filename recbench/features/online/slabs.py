"""Events of many entities in one set of arrays, each entity's in a slab of its own.

A slab holds an entity's events in order of (ts, arrival) and grows from size to size, a third or a
half at a time; the slabs that were outgrown are given to others. When the arrays are full, the
slabs move to new ones that fit, without the gaps.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from recbench.features.online.arrays import Array, Integers, flat_ranges, grown, lower_bounds
from recbench.features.online.columns import Column

__all__ = ["Slabs"]

SIZES = np.array([0, *(size << n for n in range(40) for size in (2, 3))], dtype=np.int64)
ROOM = 8  # a slab is chosen with an eighth to spare: else a full one would be moved at each event
SPARE = 4  # and the arrays with a quarter
FEWEST_SLOTS = 64
MOVED_AT_ONCE = 1 << 16  # entities, so that positions in transit take little memory


class Slabs:
    """Events by row of their entity; ``ts`` and the columns are indexed by absolute position."""

    def __init__(self, names: Iterable[str]) -> None:
        self.ts = np.zeros(FEWEST_SLOTS, dtype=np.int64)
        self.columns = {
            name: Column(np.zeros(FEWEST_SLOTS, dtype=np.int8), has_null=False) for name in names
        }
        self._bases = np.zeros(0, dtype=np.int64)
        self._offsets = np.zeros(0, dtype=np.int32)  # of the first event in its slab
        self._lengths = np.zeros(0, dtype=np.int32)
        self._classes = np.zeros(0, dtype=np.int8)  # position in SIZES
        self._free: dict[int, Integers] = {}  # class -> bases
        self._top = 0  # where the next new slab begins

    @property
    def nbytes(self) -> int:
        """What the arrays take, room to grow included."""
        heads: list[Array] = [
            self._bases,
            self._offsets,
            self._lengths,
            self._classes,
            *self._free.values(),
        ]
        heads += [column.values for column in self.columns.values()]
        return sum(array.nbytes for array in (self.ts, *heads))

    def cover(self, n_rows: int) -> None:
        """Have a place for entities up to row ``n_rows``."""
        if n_rows > len(self._bases):
            size = n_rows + n_rows // SPARE
            self._bases = grown(self._bases, size)
            self._offsets = grown(self._offsets, size)
            self._lengths = grown(self._lengths, size)
            self._classes = grown(self._classes, size)

    def span(self, row: int) -> tuple[int, int]:
        """The positions [begin, end) of one entity's events."""
        begin = self._bases.item(row) + self._offsets.item(row)
        return begin, begin + self._lengths.item(row)

    def spans(self, rows: Integers) -> tuple[Integers, Integers]:
        """The positions [begin, end) of each entity's events; none for row -1."""
        if not len(self._bases):
            return np.zeros_like(rows), np.zeros_like(rows)
        begins = self._bases[rows] + self._offsets[rows]
        return begins, begins + np.where(rows < 0, 0, self._lengths[rows])

    def positions(self, rows: Integers) -> Integers:
        """The positions of all events of the entities, one entity after the other."""
        begins, ends = self.spans(rows)
        return flat_ranges(begins, ends - begins)

    def make_room(
        self, rows: Integers, extra: Integers, *, expire: Callable[[Integers], None]
    ) -> None:
        """See to it that the slab of each entity has room for so many more events.

        Args:
            rows: (N,) entities, each once.
            extra: (N,) how many more.
            expire: drops what need not be kept of entities; called before these are moved.
        """
        used = self._offsets[rows].astype(np.int64) + self._lengths[rows]
        short = used + extra > SIZES[self._classes[rows]]
        if not short.any():
            return
        expire(rows[short])
        classes = _class_of(self._lengths[rows[short]] + extra[short])
        grows = classes != self._classes[rows[short]]
        if self._has_room(classes[grows]):
            self._give(rows[short], classes, grows=grows)
        else:
            expire(np.arange(len(self._bases)))
            self._move_all(rows, extra)

    def append(
        self, rows: Integers, counts: Integers, ts: Integers, values: Mapping[str, Array]
    ) -> Integers:
        """Add events, in order of (row, ts, arrival); every slab has room for its own.

        Returns:
            (N,) the first position of each entity from where on its events are new or have moved.
        """
        begins, ends = self.spans(rows)
        at = flat_ranges(ends, counts)
        self.ts[at] = ts
        for name, column in self.columns.items():
            column.write(at, values[name])
        self._lengths[rows] += counts.astype(np.int32)
        first = ts[np.cumsum(counts) - counts]
        disordered = (ends > begins) & (self.ts[ends - 1] > first)
        if not disordered.any():
            return ends
        begins, changed = begins[disordered], ends.copy()
        # behind the events of the same instant: those came before
        changed[disordered] = lower_bounds(self.ts, begins, ends[disordered], first[disordered] + 1)
        self._sort(changed[disordered], (ends + counts)[disordered])
        return changed

    def drop(self, rows: Integers, counts: Integers) -> None:
        """Forget the first so many events of each entity."""
        self._offsets[rows] += counts.astype(np.int32)
        self._lengths[rows] -= counts.astype(np.int32)

    def clear(self, rows: Integers) -> None:
        """Forget all events of the entities and give their slabs to others."""
        self._release(rows)
        self._lengths[rows] = self._offsets[rows] = self._classes[rows] = 0

    def load(self, lengths: Integers, ts: Integers, columns: Mapping[str, Array]) -> None:
        """Take over whole entities, rows 0 on, one after the other, into empty slabs."""
        rows = np.arange(len(lengths))
        self.cover(len(lengths))
        self.make_room(rows, lengths, expire=lambda _: None)
        at = flat_ranges(self._bases[rows], lengths)
        self.ts[at] = ts
        for name, values in columns.items():
            placed = np.empty(len(self.ts), dtype=values.dtype)
            placed[at] = values
            column = self.columns[name] = Column(placed)
            column.has_null = not bool(column.held(values).all())
        self._lengths[rows] = lengths

    def _sort(self, begins: Integers, ends: Integers) -> None:
        """Put each run [begin, end) in order of time; events of one instant stay as they are."""
        lengths = ends - begins
        at = flat_ranges(begins, lengths)
        order = np.lexsort((self.ts[at], np.repeat(np.arange(len(begins)), lengths)))
        self.ts[at] = self.ts[at[order]]
        for column in self.columns.values():
            column.values[at] = column.values[at[order]]

    def _give(self, rows: Integers, classes: Integers, *, grows: Array) -> None:
        """Move entities to the beginning of slabs of other classes, or of their own."""
        begins, ends = self.spans(rows)
        bases = self._bases[rows]
        bases[grows] = self._allocated(classes[grows])
        self._release(rows[grows])
        self._move(begins, bases, lengths=ends - begins)
        self._bases[rows], self._offsets[rows], self._classes[rows] = bases, 0, classes

    def _has_room(self, classes: Array) -> bool:
        wanted = np.bincount(classes, minlength=len(SIZES))
        for class_, bases in self._free.items():
            wanted[class_] = max(0, wanted[class_] - len(bases))
        return bool(self._top + wanted @ SIZES <= len(self.ts))

    def _allocated(self, classes: Array) -> Integers:
        """(N,) where new slabs begin: freed ones first, then at the top."""
        bases = np.empty(len(classes), dtype=np.int64)
        for class_ in np.unique(classes).tolist():
            wanted = np.flatnonzero(classes == class_)
            free = self._free.get(class_, bases[:0])
            n_reused, size = min(len(wanted), len(free)), int(SIZES[class_])
            self._free[class_] = free[n_reused:]
            bases[wanted[:n_reused]] = free[:n_reused]
            n_new = len(wanted) - n_reused
            bases[wanted[n_reused:]] = self._top + np.arange(n_new) * size
            self._top += n_new * size
        return bases

    def _release(self, rows: Integers) -> None:
        classes = self._classes[rows]
        for class_ in np.unique(classes[classes > 0]).tolist():
            bases = self._bases[rows[classes == class_]]
            self._free[class_] = np.concatenate([self._free.get(class_, bases[:0]), bases])

    def _move(self, begins: Integers, bases: Integers, *, lengths: Integers) -> None:
        source, target = flat_ranges(begins, lengths), flat_ranges(bases, lengths)
        self.ts[target] = self.ts[source]
        for column in self.columns.values():
            column.values[target] = column.values[source]

    def _move_all(self, rows: Integers, extra: Integers) -> None:
        """Move all slabs to new arrays that fit what they hold, and ``extra`` more of ``rows``."""
        lengths = self._lengths.astype(np.int64)
        classes = np.minimum(self._classes, _class_of(lengths)) * (lengths > 0)
        classes[rows] = _class_of(lengths[rows] + extra)
        sizes = SIZES[classes]
        bases = np.cumsum(sizes) - sizes
        self._top, self._free = int(sizes.sum()), {}
        capacity = max(FEWEST_SLOTS, self._top * (SPARE + 1) // SPARE)
        begins = self._bases + self._offsets
        self.ts = _moved(self.ts, begins, bases, lengths=lengths, capacity=capacity)
        for column in self.columns.values():
            column.values = _moved(column.values, begins, bases, lengths=lengths, capacity=capacity)
        self._bases, self._classes = bases, classes.astype(np.int8)
        self._offsets[:] = 0


def _class_of(needed: Integers) -> Integers:
    classes: Integers = np.searchsorted(SIZES, needed + needed // ROOM)
    return classes


def _moved(
    values: Array, begins: Integers, bases: Integers, *, lengths: Integers, capacity: int
) -> Array:
    moved = np.empty(capacity, dtype=values.dtype)
    for first in range(0, len(begins), MOVED_AT_ONCE):
        part = slice(first, first + MOVED_AT_ONCE)
        source = flat_ranges(begins[part], lengths[part])
        moved[flat_ranges(bases[part], lengths[part])] = values[source]
    return moved
