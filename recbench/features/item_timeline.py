"""Each item's clicks in order of time, so that its popularity at any instant is one look-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog

__all__ = ["ItemTimeline"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class ItemTimeline:
    """The N clicks of a log by item; what it takes does not grow with the catalogue."""

    item_rows: Ints  # (N,) ascending
    ts: Ints  # (N,) microseconds, ascending within an item
    half_lives_us: Floats  # (H,)
    decayed: Floats  # (N, H) the item's popularity just after the click

    @classmethod
    def of(cls, log: InteractionLog, *, half_lives_s: Sequence[float]) -> Self:
        """Sort the clicks, and add up each item's decayed popularity in O(N log N).

        Args:
            log: the clicks.
            half_lives_s: H values > 0, seconds.

        Raises:
            InputError: a half-life is not positive.
        """
        if not half_lives_s or not all(half_life > 0 for half_life in half_lives_s):
            raise InputError(f"`half_lives_s` must hold positive seconds, got {list(half_lives_s)}")
        order = np.lexsort((log.ts, log.item_rows))
        item_rows, ts = log.item_rows[order], log.ts[order]
        half_lives = np.asarray(half_lives_s, dtype=np.float64) * MICROSECONDS
        return cls(item_rows, ts, half_lives, _decayed(item_rows, ts, half_lives))

    def popularity(self, item_rows: Ints, at: int) -> Floats:
        """(C, H) the sum of ``2 ** -(age / half_life)`` over clicks strictly before ``at``.

        Args:
            item_rows: (C,) any, in any order.
            at: microseconds since the epoch.
        """
        last, first = self._before(item_rows, at)
        known = last >= first
        if not known.any():
            return np.zeros((len(item_rows), len(self.half_lives_us)))
        last = np.where(known, last, last.max())  # any click before `at`: what is unknown is 0
        age = (at - self.ts[last])[:, None]
        return np.where(
            known[:, None], self.decayed[last] * np.exp2(-age / self.half_lives_us), 0.0
        )

    def age_us(self, item_rows: Ints, at: int) -> Ints:
        """(C,) microseconds since the item's first click; -1 where that is not before ``at``."""
        last, first = self._before(item_rows, at)
        known = last >= first
        first = np.where(known, first, 0)
        return np.where(known, at - self.ts[first], -1) if len(self.ts) else -np.ones_like(first)

    def _before(self, item_rows: Ints, at: int) -> tuple[Ints, Ints]:
        """(C,) place of each item's last click before ``at``, and of its first of all."""
        first = np.searchsorted(self.item_rows, item_rows, side="left")
        low, high = first.copy(), np.searchsorted(self.item_rows, item_rows, side="right")
        while np.any(low < high):
            middle = (low + high) // 2
            earlier = (low < high) & (self.ts[np.minimum(middle, len(self.ts) - 1)] < at)
            low = np.where(earlier, middle + 1, low)
            high = np.where(earlier | (low >= high), high, middle)
        return low - 1, first


def _decayed(item_rows: Ints, ts: Ints, half_lives: Floats) -> Floats:
    """(N, H) decayed sums within items: pass k joins runs of 2 ** k clicks."""
    total = np.ones((len(ts), len(half_lives)))
    step = 1
    while step < len(ts):
        same = np.flatnonzero(item_rows[step:] == item_rows[:-step]) + step
        if not len(same):
            break
        gap = (ts[same] - ts[same - step])[:, None]
        joined = total[same - step] * np.exp2(-gap / half_lives)
        total[same] += joined
        step *= 2
    return total
