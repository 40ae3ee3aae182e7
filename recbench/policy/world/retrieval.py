"""Candidates of requests in the simulated world, by towers as of one instant."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.protocol import Asked, NewItems
from recbench.errors import InputError

__all__ = ["Pool", "TowerRetrieval"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Pool(NamedTuple):
    """The best C candidates of R requests, best first."""

    item_ids: Ints  # (R, C)
    scores: Floats  # (R, C) of the towers


class TowerRetrieval:
    """Towers that are not trained any more; an item that is born later is like its category.

    Args:
        queries: (U, D) of users; ids are rows.
        candidates: (I, D) of the items that were known then; ids are rows.
        categories: (I,) of these items.
    """

    def __init__(self, queries: Floats, candidates: Floats, categories: Ints) -> None:
        if len(candidates) != len(categories) or queries.shape[1] != candidates.shape[1]:
            raise InputError(
                f"Towers do not fit: queries {queries.shape}, candidates {candidates.shape}, "
                f"categories {categories.shape}"
            )
        self.queries = queries
        self._candidates, self._n = candidates, len(candidates)
        self._means = {
            int(one): candidates[categories == one].mean(axis=0) for one in np.unique(categories)
        }
        self._mean = candidates.mean(axis=0)

    @property
    def candidates(self) -> Floats:
        """(I, D) of all items known by now."""
        return self._candidates[: self._n]

    def meet(self, new: NewItems) -> None:
        """Know further items; those it knows stay as they are."""
        unknown = new.item_ids >= self._n
        if not unknown.any():
            return
        self._n = int(new.item_ids.max()) + 1
        if self._n > len(self._candidates):
            room = np.tile(self._mean, (self._n, 1))
            room[: len(self._candidates)] = self._candidates
            self._candidates = room
        for item, category in zip(new.item_ids[unknown], new.categories[unknown], strict=True):
            self._candidates[item] = self._means.get(int(category), self._mean)

    def pool(self, asked: Asked, size: int) -> Pool:
        """The ``size`` best of what can be shown; fewer where there are."""
        alive = asked.item_ids[asked.item_ids < self._n]
        scores = self.queries[asked.user_ids] @ self._candidates[alive].T  # (R, N)
        size = min(size, len(alive))
        best = np.argpartition(-scores, size - 1, axis=1)[:, :size]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        columns = np.take_along_axis(best, order, axis=1)
        return Pool(alive[columns], np.take_along_axis(scores, columns, axis=1))
