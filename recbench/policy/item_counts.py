"""How often items were shown lately and what they earned, by sums that forget by event time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["N_RATES", "ItemCounts"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
N_RATES = 2
PRIOR = 5.0  # showings at the usual rate that an item begins with
USUAL_SHOWN, USUAL_EARNED = 10.0, 1.0  # what the usual rate begins with
LONGEST = 8.0  # half lives after which sums are expressed anew, long before they overflow
FEWEST = 0.01  # showings; an item below it is forgotten


class ItemCounts:
    """Sums over showings, each of which counts half after ``half_life_us``.

    A showing counts by its own ``ts``, so sums do not depend on when, or how many at a time, they
    were taken in.
    """

    def __init__(self, *, half_life_us: float) -> None:
        if not half_life_us > 0:
            raise InputError(f"`half_life_us` must be positive, got {half_life_us}")
        self.half_life_us = half_life_us
        self.item_ids: Ints = np.empty(0, dtype=np.int64)  # ascending
        self.latest_us = 0
        self._shown = np.empty(0)  # as of ``_base_us``
        self._earned = np.empty(0)
        self._base_us: int | None = None

    def __len__(self) -> int:
        """Items that are not forgotten."""
        return len(self.item_ids)

    def add(self, item_ids: Ints, rewards: npt.NDArray[np.floating], ts: Ints) -> None:
        """Take in (E,) showings with their rewards and times in microseconds."""
        if not len(item_ids):
            return
        self.latest_us = max(self.latest_us, int(ts.max()))
        self._move_base()
        assert self._base_us is not None
        weights = np.exp2((ts - self._base_us) / self.half_life_us)
        unique, place = np.unique(item_ids, return_inverse=True)
        self._know(unique)
        rows = np.searchsorted(self.item_ids, unique)
        self._shown[rows] += np.bincount(place, weights)
        self._earned[rows] += np.bincount(place, weights * rewards)

    def rates(self, item_ids: Ints) -> Floats:
        """(C, 2) of items as of ``latest_us``: what a showing earns, and how often it was shown.

        The first is drawn to the rate of all items by a prior of 5 showings, the second is on a
        scale of about one. For an item that was not shown the first is the rate of all.
        """
        shown, earned = self._sums(item_ids)
        kept = self._kept
        total_shown, total_earned = kept * self._shown.sum(), kept * self._earned.sum()
        usual = (total_earned + USUAL_EARNED) / (total_shown + USUAL_SHOWN)
        rate = (kept * earned + PRIOR * usual) / (kept * shown + PRIOR)
        return np.stack([rate, np.log1p(kept * shown) / 5], axis=1)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it, to be kept."""
        times = np.array([self.latest_us, self._base_us or 0], dtype=np.int64)
        return {"ids": self.item_ids, "shown": self._shown, "earned": self._earned, "times": times}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on where ``arrays`` were taken."""
        self.item_ids = arrays["ids"]
        self._shown, self._earned = arrays["shown"].copy(), arrays["earned"].copy()
        self.latest_us, base_us = arrays["times"].tolist()
        self._base_us = base_us if len(self.item_ids) else None

    @property
    def _kept(self) -> float:
        """What a sum as of the base counts now."""
        base_us = self.latest_us if self._base_us is None else self._base_us
        return float(np.exp2((base_us - self.latest_us) / self.half_life_us))

    def _sums(self, item_ids: Ints) -> tuple[Floats, Floats]:
        if not len(self.item_ids):
            return np.zeros(len(item_ids)), np.zeros(len(item_ids))
        rows = np.minimum(np.searchsorted(self.item_ids, item_ids), len(self.item_ids) - 1)
        known = self.item_ids[rows] == item_ids
        return np.where(known, self._shown[rows], 0.0), np.where(known, self._earned[rows], 0.0)

    def _know(self, unique: Ints) -> None:
        missing = unique[~np.isin(unique, self.item_ids, assume_unique=True)]
        if not len(missing):
            return
        at = np.searchsorted(self.item_ids, missing)
        self.item_ids = np.insert(self.item_ids, at, missing)
        self._shown = np.insert(self._shown, at, 0.0)
        self._earned = np.insert(self._earned, at, 0.0)

    def _move_base(self) -> None:
        if self._base_us is None:
            self._base_us = self.latest_us
        if self.latest_us - self._base_us <= LONGEST * self.half_life_us:
            return
        kept = self._kept
        self._base_us = self.latest_us
        self._shown, self._earned = kept * self._shown, kept * self._earned
        left = self._shown >= FEWEST
        self.item_ids = self.item_ids[left]
        self._shown, self._earned = self._shown[left], self._earned[left]
