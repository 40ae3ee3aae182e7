"""Which event ids were seen lately: one hash table in numpy, asked and filled by the batch."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["RecentIds"]

Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

MICROSECONDS_AN_HOUR = 3_600_000_000
SMALLEST = 1 << 12
FULLEST = 0.5  # share of slots in use at which the table is swept, and grown if that was too little
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
SEEDS = (1, 2)  # a text stands for itself as 128 bits, two hashes of 64


class RecentIds:
    """The ids of the last ``window`` of event time, 12 bytes a slot (20 for texts).

    Integers are kept as they are. Of 10 ** 9 texts, two share their 128 bits with a chance of
    about 10 ** -21.
    """

    def __init__(self, window: timedelta) -> None:
        self._window_h = -(-window // timedelta(hours=1))
        self._mask = SMALLEST - 1
        self._words: list[Words] = []  # one array for integers, two for texts
        self._hour = np.zeros(SMALLEST, dtype=np.int32)  # of the event, from 1 on; 0: slot is free
        self._held = 0

    def __len__(self) -> int:
        """How many ids the table holds, those that have expired since the last sweep included."""
        return self._held

    def add(self, ids: pl.Series, ts: npt.NDArray[np.int64], *, oldest: int) -> Flags:
        """Remember the ids; (N,) true where one is new, the first of those that are equal.

        Args:
            ids: (N,) without nulls, all integers or all texts.
            ts: (N,) microseconds since the epoch, of their events.
            oldest: event time, in microseconds, from which the window is counted back: ids of
                events more than the window before it are forgotten, at the latest when the table
                fills up.
        """
        words = _words(ids)
        if not self._words:
            self._words = [np.zeros(len(self._hour), dtype=np.uint64) for _ in words]
        first = np.sort(_first_of_equals(words))
        words = [word[first] for word in words]
        hours = _hours(ts[first])
        self._make_room(len(first), oldest=oldest)
        is_new = np.zeros(len(ids), dtype=bool)
        is_new[first] = self._insert(words, hours)
        self._held += int(is_new.sum())
        return is_new

    def _insert(self, words: list[Words], hours: npt.NDArray[np.int32]) -> Flags:
        """Linear probing, a round for all ids at a time; the ids are distinct."""
        inserted = np.zeros(len(hours), dtype=bool)
        slots = _slots(words[0], self._mask)
        open_ = np.arange(len(hours))  # the ids that have neither found themselves nor a free slot
        while len(open_):
            at = slots[open_]
            free = self._hour[at] == 0
            for mine, word in zip(self._words, words, strict=True):
                mine[at[free]] = word[open_[free]]  # where two want one slot, the last gets it
            same = self._same(at, [word[open_] for word in words])
            won = free & same
            self._hour[at[won]] = hours[open_[won]]
            inserted[open_[won]] = True
            open_ = open_[~same]
            slots[open_] = (slots[open_] + 1) & self._mask
        return inserted

    def _same(self, at: npt.NDArray[np.int64], words: list[Words]) -> Flags:
        same = np.ones(len(at), dtype=bool)
        for mine, word in zip(self._words, words, strict=True):
            same &= mine[at] == word
        return same

    def _make_room(self, n_more: int, *, oldest: int) -> None:
        if self._held + n_more <= FULLEST * len(self._hour):
            return
        keep = self._hour > int(_hours(np.array([oldest]))[0]) - self._window_h - 1
        keep &= self._hour > 0
        words, hours = [mine[keep] for mine in self._words], self._hour[keep]
        size = len(self._hour)
        while len(hours) + n_more > FULLEST / 2 * size:
            size *= 2
        self._mask = size - 1
        self._words = [np.zeros(size, dtype=np.uint64) for _ in words]
        self._hour = np.zeros(size, dtype=np.int32)
        self._held = len(hours)
        self._insert(words, hours)


def _words(ids: pl.Series) -> list[Words]:
    if ids.dtype == pl.String:
        return [ids.hash(seed).to_numpy() for seed in SEEDS]
    return [ids.to_numpy().astype(np.int64, copy=False).view(np.uint64)]


def _first_of_equals(words: list[Words]) -> npt.NDArray[np.int64]:
    if len(words) == 1:
        return np.unique(words[0], return_index=True)[1]
    return np.unique(np.stack(words, axis=1), axis=0, return_index=True)[1]


def _hours(ts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return (np.maximum(ts, 0) // MICROSECONDS_AN_HOUR + 1).astype(np.int32)


def _slots(word: Words, mask: int) -> npt.NDArray[np.int64]:
    mixed = (word ^ (word >> np.uint64(32))) * GOLDEN
    return (mixed >> np.uint64(20)).astype(np.int64) & mask
