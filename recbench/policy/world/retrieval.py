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
        new_frac: of a pool that is kept for items born later, which no tower likes yet.
    """

    def __init__(
        self, queries: Floats, candidates: Floats, categories: Ints, *, new_frac: float = 0.2
    ) -> None:
        if len(candidates) != len(categories) or queries.shape[1] != candidates.shape[1]:
            raise InputError(
                f"Towers do not fit: queries {queries.shape}, candidates {candidates.shape}, "
                f"categories {categories.shape}"
            )
        self.queries = queries
        if not 0 <= new_frac <= 1:
            raise InputError(f"`new_frac` must lie in [0, 1], got {new_frac}")
        self._candidates, self._n = candidates, len(candidates)
        self._n_trained, self._new_frac = len(candidates), new_frac
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
        """The ``size`` best of what can be shown, ``new_frac`` of them new, or fewer."""
        alive = asked.item_ids[asked.item_ids < self._n]
        scores = self.queries[asked.user_ids] @ self._candidates[alive].T  # (R, N)
        size = min(size, len(alive))
        is_new = alive >= self._n_trained
        n_new = min(int(is_new.sum()), int(size * self._new_frac))
        n_old = min(len(alive) - int(is_new.sum()), size - n_new)
        best = np.concatenate(
            [
                _best(scores, np.flatnonzero(~is_new), n_old),
                _best(scores, np.flatnonzero(is_new), size - n_old),
            ],
            axis=1,
        )
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        columns = np.take_along_axis(best, order, axis=1)
        return Pool(alive[columns], np.take_along_axis(scores, columns, axis=1))


def _best(scores: Floats, columns: Ints, n: int) -> Ints:
    """(R, n) of the columns, in no order."""
    if not n:
        return np.empty((len(scores), 0), dtype=np.int64)
    return columns[np.argpartition(-scores[:, columns], n - 1, axis=1)[:, :n]]
