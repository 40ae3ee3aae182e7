"""What a bandit of the simulated world sees of a candidate: towers, age, and clicks by now."""

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.protocol import Clicks, Exposures, NewItems
from recbench.policy.context import context_dim, tower_context
from recbench.policy.world.retrieval import TowerRetrieval

__all__ = ["WorldContext"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
PRIOR = 5.0  # showings at the usual rate that an item or user begins with
N_FURTHER = 5


class WorldContext:
    """Counters of items and users that forget, beside the towers' features.

    Args:
        retrieval: with the towers.
        half_life_h: hours after which a showing counts half.
    """

    def __init__(self, retrieval: TowerRetrieval, *, half_life_h: float = 6.0) -> None:
        n_users, dim = retrieval.queries.shape
        self.retrieval, self.half_life_h = retrieval, half_life_h
        self.dim = context_dim(dim, N_FURTHER)
        self._born_h = np.zeros(0)
        self._items = np.zeros((2, 0))  # showings, clicks
        self._users = np.zeros((2, n_users))
        self._until_h = 0.0

    def meet(self, new: NewItems) -> None:
        """Know further items; those it knows stay as they are."""
        self.retrieval.meet(new)
        unknown = new.item_ids >= len(self._born_h)
        if unknown.any():
            self._born_h = np.concatenate([self._born_h, new.born_h[unknown]])
            none = np.zeros((2, int(unknown.sum())))
            self._items = np.concatenate([self._items, none], axis=1)

    def count(self, shown: Exposures, clicks: Clicks, *, until_h: float) -> None:
        """What became known until then."""
        kept = 0.5 ** ((until_h - self._until_h) / self.half_life_h)
        self._until_h = until_h
        for counts, name in ((self._items, "item_ids"), (self._users, "user_ids")):
            counts *= kept
            for row, ids in enumerate((getattr(shown, name), getattr(clicks.of, name))):
                counts[row] += np.bincount(ids, minlength=counts.shape[1])

    def features(self, users: Ints, items: Ints, hours: Floats) -> Floats:
        """(E, d) of items for users at times, by what is known now."""
        shown, clicked = self._items
        usual = (clicked.sum() + 1.0) / (shown.sum() + 10.0)
        item_rate = (clicked[items] + PRIOR * usual) / (shown[items] + PRIOR)
        seen, acted = self._users
        user_rate = (acted[users] + PRIOR * usual) / (seen[users] + PRIOR)
        age_h = np.maximum(hours - self._born_h[items], 0.0)
        further = np.stack(
            [
                item_rate,
                user_rate,
                np.log1p(shown[items]) / 5,
                np.log1p(age_h) / 5,
                np.exp(-age_h / 24.0),
            ],
            axis=1,
        )
        queries, candidates = self.retrieval.queries[users], self.retrieval.candidates[items]
        return np.asarray(tower_context(queries, candidates, further), dtype=np.float64)
