"""Whether a click jumped to other categories than the user's click before it."""

from dataclasses import dataclass

import numpy as np

from recbench import columns as c
from recbench.features.online.arrays import Array, Integers, flat_ranges
from recbench.features.online.plan import CATEGORY_JUMP
from recbench.features.online.stream import Appended, Stream
from recbench.features.online.values import Strings

__all__ = ["Jumps", "Marked"]

UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """Clicks whose jump is new or may have changed, by their position in the users' stream."""

    rows: Integers  # of the users
    positions: Integers
    jumps: Integers  # 0 or 1
    were: Array  # what it was before; anything for new clicks


class Jumps:
    """The sets of categories behind the codes of ``categories``."""

    def __init__(self, categories: Strings) -> None:
        self._categories = categories
        self._tags = Strings()
        self._sets = np.full((0, 1), UNKNOWN, dtype=np.int32)  # (codes, tags), padded

    def mark(self, stream: Stream, appended: Appended) -> Marked:
        """Set the jump of each new click and of the clicks that now follow one."""
        slabs = stream.slabs
        begins, ends = slabs.spans(appended.rows)
        lengths = ends - appended.changed
        at = flat_ranges(appended.changed, lengths)
        category, jump = slabs.columns[c.CATEGORY], slabs.columns[CATEGORY_JUMP]
        codes = np.where(category.held(category.values[at]), category.values[at], UNKNOWN)
        before = category.values[at - 1]
        # a first click follows none; only a new click comes first here, as those that follow a
        # forgotten one are never moved
        follows = category.held(before) & (at > np.repeat(begins, lengths))
        jumps = self._disjoint(np.where(follows, before, UNKNOWN), codes)
        were = jump.values[at]
        jump.write(at, jumps)
        return Marked(np.repeat(appended.rows, lengths), at, jumps, were)

    def _disjoint(self, before: Integers, now: Integers) -> Integers:
        """(N,) 1 where both codes are known and their sets share nothing."""
        jumps = np.zeros(len(now), dtype=np.int64)
        differ = np.flatnonzero((before != now) & (before != UNKNOWN) & (now != UNKNOWN))
        self._cover()
        # (M, tags) each; (M, tags, tags) pairs of tags
        first, second = self._sets[before[differ]], self._sets[now[differ]]
        same = (first[:, :, None] == second[:, None, :]) & (first != UNKNOWN)[:, :, None]
        jumps[differ] = ~same.any(axis=(1, 2))
        return jumps

    def _cover(self) -> None:
        """Know the sets of the categories that have come since the last time."""
        new = self._categories.strings[len(self._sets) :]
        if not new:
            return
        coded = [[self._tags.add(tag) for tag in category.split("|")] for category in new]
        width = max(self._sets.shape[1], *map(len, coded))
        sets = np.full((len(self._sets) + len(new), width), UNKNOWN, dtype=np.int32)
        sets[: len(self._sets), : self._sets.shape[1]] = self._sets
        for row, codes in enumerate(coded, start=len(self._sets)):
            sets[row, : len(codes)] = codes
        self._sets = sets
