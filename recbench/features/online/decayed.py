"""Popularity with exponential decay, folded into one number an entity."""

import numpy as np

from recbench.features.definitions import DecayedPopularity
from recbench.features.online.arrays import Array, Integers, grown
from recbench.features.online.plan import microseconds

__all__ = ["Decayed"]

# The reference moves after so many half-lives, in which 2 ** elapsed stays far from overflow; what
# is a whole such stretch back weighs less than 2 ** -256 and counts as nothing.
HALF_LIVES = 256


class Decayed:
    """The clicks of each entity that its slab no longer holds, each weighing 2 ** its time.

    Times are counted in half-lives from ``reference``, microseconds, the same for all entities, so
    that the popularity of all of them at t is one product: ``values * weight(t)``.
    """

    def __init__(self, feature: DecayedPopularity) -> None:
        self.name = feature.name
        self.half_life_us = microseconds(feature.half_life)
        self.reference: int | None = None
        self.values = np.zeros(0)

    def cover(self, n_rows: int) -> None:
        """Have a place for entities up to row ``n_rows``."""
        if n_rows > len(self.values):
            self.values = grown(self.values, n_rows + n_rows // 4)

    def fold(self, rows: Integers, counts: Integers, *, ts: Integers) -> None:
        """Add ``counts`` (N,) > 0 clicks of each of ``rows`` (N,), whose times follow in ``ts``."""
        latest = int(ts.max())
        if self.reference is None:
            self.reference = latest
        elif latest - self.reference > HALF_LIVES * self.half_life_us:
            self.values *= np.exp2((self.reference - latest) / self.half_life_us)
            self.reference = latest
        weights = np.exp2((ts - self.reference) / self.half_life_us)
        self.values[rows] += np.add.reduceat(weights, np.cumsum(counts) - counts)

    def folded(self, row: int) -> tuple[float, int]:
        """What one entity's clicks weigh, and at which instant; nothing for row -1."""
        if self.reference is None or row < 0:
            return 0.0, 0
        return self.values.item(row), self.reference

    def folded_many(self, rows: Integers) -> tuple[Array, Integers]:
        """What the clicks of entities (N,) weigh, and at which instants (N,)."""
        if self.reference is None:
            return np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
        return np.where(rows < 0, 0.0, self.values[rows]), np.full(len(rows), self.reference)

    def negligible(self, rows: Integers, *, at_us: int, idle_us: int | None) -> Array:
        """(N,) whether entities weigh less than one click of ``idle_us`` ago, or nothing at all."""
        if self.reference is None:
            return np.ones(len(rows), dtype=bool)
        half_lives = HALF_LIVES if idle_us is None else idle_us / self.half_life_us
        weights = self.values[rows] * np.exp2((self.reference - at_us) / self.half_life_us)
        negligible: Array = weights < np.exp2(-half_lives)
        return negligible
