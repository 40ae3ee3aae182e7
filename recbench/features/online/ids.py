"""Outside ids and the rows that stand for them: an open-addressing hash over two arrays.

A million ids take 16 to 24 MB, where a dict of Python integers takes five times as much, and whole
batches are looked up at once.
"""

import numpy as np

from recbench.features.online.arrays import Integers, grown

__all__ = ["IdIndex"]

EMPTY = -1
GOLDEN = 0x9E3779B97F4A7C15  # Knuth's multiplier: near ids land far apart
WORD, FEWEST_BITS = 64, 4
MASK = (1 << WORD) - 1


class IdIndex:
    """Rows of ids, given out from 0 on; rows that were given back are given out again."""

    def __init__(self) -> None:
        self.ids = np.zeros(0, dtype=np.int64)  # of each row, also of rows given back
        self.n_rows = 0  # given out so far
        self._free = np.zeros(0, dtype=np.int64)
        self._bits = FEWEST_BITS
        self._slots = np.full(1 << FEWEST_BITS, EMPTY, dtype=np.int32)

    def __len__(self) -> int:
        return self.n_rows - len(self._free)

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        return self.ids.nbytes + self._slots.nbytes + self._free.nbytes

    def row(self, id_: int) -> int:
        """The row of one id; -1 where it has none."""
        slot = ((id_ * GOLDEN) & MASK) >> (WORD - self._bits)
        while (row := self._slots.item(slot)) != EMPTY:
            if self.ids.item(row) == id_:
                return row
            slot = (slot + 1) & (len(self._slots) - 1)
        return EMPTY

    def rows(self, ids: Integers) -> Integers:
        """(N,) the row of each id; -1 where it has none."""
        found = np.full(len(ids), EMPTY, dtype=np.int64)
        asking, slots = np.arange(len(ids)), self._first_slots(ids)
        while len(asking):
            rows = self._slots[slots]
            taken = rows != EMPTY
            same = np.zeros(len(rows), dtype=bool)
            same[taken] = self.ids[rows[taken]] == ids[asking[taken]]
            found[asking[same]] = rows[same]
            further = taken & ~same
            asking, slots = asking[further], self._after(slots[further])
        return found

    def live_rows(self) -> Integers:
        """The rows that stand for an id, ascending."""
        live = np.ones(self.n_rows, dtype=bool)
        live[self._free] = False
        return np.flatnonzero(live)

    def add(self, ids: Integers) -> Integers:
        """The new rows of ids that have none; each id once."""
        n_reused = min(len(ids), len(self._free))
        reused, self._free = self._free[:n_reused], self._free[n_reused:]
        n_new = len(ids) - n_reused
        rows = np.concatenate([reused, np.arange(self.n_rows, self.n_rows + n_new)])
        self.n_rows += n_new
        if self.n_rows > len(self.ids):
            self.ids = grown(self.ids, self.n_rows + self.n_rows // 4)
        self.ids[rows] = ids
        if 2 * len(self) > len(self._slots):
            self._rehash()
        else:
            self._place(rows)
        return rows

    def remove(self, rows: Integers) -> None:
        """Give the rows back."""
        self._free = np.concatenate([self._free, rows])
        self._rehash()

    def _rehash(self) -> None:
        self._bits = max(FEWEST_BITS, (2 * len(self)).bit_length())
        self._slots = np.full(1 << self._bits, EMPTY, dtype=np.int32)
        self._place(self.live_rows())

    def _place(self, rows: Integers) -> None:
        slots = self._first_slots(self.ids[rows])
        while len(rows):
            empty = self._slots[slots] == EMPTY
            self._slots[slots[empty]] = rows[empty]
            # of several rows that meet in one slot, one stays; the others go on
            further = self._slots[slots] != rows
            rows, slots = rows[further], self._after(slots[further])

    def _first_slots(self, ids: Integers) -> Integers:
        mixed = ids.astype(np.uint64) * np.uint64(GOLDEN)
        return (mixed >> np.uint64(WORD - self._bits)).astype(np.int64)

    def _after(self, slots: Integers) -> Integers:
        return (slots + 1) & (len(self._slots) - 1)
