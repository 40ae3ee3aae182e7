"""How often an item is a target, by cut: what the logQ correction needs."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.training.examples import Examples, ranges

__all__ = ["TargetShares"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TargetShares:
    """The chance of an item to be a random target of a cut; items that never are take no place."""

    keys: Ints  # (K,) ascending: cut * n_items + item row
    shares: Floats  # (K,)
    n_items: int

    @classmethod
    def of(cls, examples: Examples) -> Self:
        """From the targets of each cut: one drawn from each example, or all of them."""
        owner, at = ranges(examples.target_starts, examples.target_ends)
        weight = np.ones(len(at))
        if not examples.every_position:
            weight /= (examples.target_ends - examples.target_starts)[owner]
        cut_of, n_items = examples.cut_of[owner], len(examples.log.items)
        weight /= np.bincount(cut_of, weights=weight, minlength=len(examples.cuts))[cut_of]
        keys, place = np.unique(cut_of * n_items + examples.log.item_rows[at], return_inverse=True)
        return cls(keys, np.bincount(place, weights=weight).astype(np.float64), n_items)

    def at(self, cut: int, item_rows: Ints) -> Floats:
        """(C,) shares of items at a cut, 0 where an item is nobody's target."""
        asked = cut * self.n_items + item_rows
        place = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        return np.where(self.keys[place] == asked, self.shares[place], 0.0)
