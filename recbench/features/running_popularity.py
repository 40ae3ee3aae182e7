"""Each item's popularity and first click as of an instant, carried on without the log before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.features.popularity import popularity_snapshots
from recbench.tables.queries import InteractionLog

__all__ = ["NEVER", "RunningPopularity"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MICROSECONDS = 1e6
NEVER = np.iinfo(np.int64).max  # the first click of an item without one


@dataclass(frozen=True, slots=True, eq=False)
class RunningPopularity:
    """What clicks strictly before ``at`` leave of each item: H decayed sums, the first instant."""

    at: int  # microseconds since the epoch
    half_lives_s: tuple[float, ...]  # H
    values: Floats  # (n_items, H)
    first_ts: Ints  # (n_items,) microseconds; NEVER without a click

    @classmethod
    def of(cls, log: InteractionLog, *, at: int, half_lives_s: Sequence[float]) -> Self:
        """From all clicks of a log before ``at``, to the bit what ``popularity_snapshots`` gives.

        Args:
            log: the clicks.
            at: microseconds since the epoch.
            half_lives_s: H values > 0, seconds.
        """
        values = popularity_snapshots(log, np.array([at]), half_lives_s=half_lives_s)[0]
        return cls(at, tuple(half_lives_s), values, _first_ts(log, at, len(log.items)))

    def grown(self, n_items: int) -> Self:
        """The same with rows for items that nobody has clicked."""
        new = n_items - len(self.values)
        return replace(
            self,
            values=np.pad(self.values, ((0, new), (0, 0))),
            first_ts=np.pad(self.first_ts, (0, new), constant_values=NEVER),
        )

    def advanced(self, log: InteractionLog, *, to: int) -> Self:
        """As of ``to``, from the clicks of ``log`` in [at, to); others of it do not count again.

        Raises:
            InputError: ``to`` lies before ``at``, or the log has another number of items.
        """
        if to < self.at or len(log.items) != len(self.values):
            raise InputError(
                f"Popularity of {len(self.values)} items as of {self.at} cannot be carried to "
                f"{to} over a log of {len(log.items)} items"
            )
        which = np.flatnonzero((log.ts >= self.at) & (log.ts < to))
        rows, age = log.item_rows[which], to - log.ts[which]
        half_lives = np.asarray(self.half_lives_s) * MICROSECONDS
        values = self.values * np.exp2(-(to - self.at) / half_lives)
        for column, half_life in enumerate(half_lives):
            weights = np.exp2(-age / half_life)
            values[:, column] += np.bincount(rows, weights=weights, minlength=len(values))
        first_ts = self.first_ts.copy()
        np.minimum.at(first_ts, rows, log.ts[which])
        return replace(self, at=to, values=values, first_ts=first_ts)

    def popularity(self, item_rows: Ints, at: int) -> Floats:
        """(C, H) decayed sums of (C,) items; ``at`` must be the instant that this is as of."""
        self._check(at)
        return self.values[item_rows]

    def age_us(self, item_rows: Ints, at: int) -> Ints:
        """(C,) microseconds since the first click; -1 where there was none."""
        self._check(at)
        first = self.first_ts[item_rows]
        return np.where(first < at, at - np.minimum(first, at), -1)

    def _check(self, at: int) -> None:
        if at != self.at:
            raise InputError(f"Popularity is known as of {self.at}, not of {at}")


def _first_ts(log: InteractionLog, at: int, n_items: int) -> Ints:
    first_ts = np.full(n_items, NEVER)
    before = log.ts < at
    np.minimum.at(first_ts, log.item_rows[before], log.ts[before])
    return first_ts
