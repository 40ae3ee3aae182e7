"""Item popularity, over all time or with exponential decay: the same list for everybody."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.features.popularity import decayed_popularity
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Popularity", "RecencyPopularity"]


@dataclass(frozen=True, slots=True, eq=False)
class Popularity:
    """Clicks per item."""

    items: Vocabulary
    popularity: npt.NDArray[np.float32]  # (n_items,)

    @classmethod
    def fit(cls, log: InteractionLog) -> Self:
        """Counts of the whole log."""
        counts = np.bincount(log.item_rows, minlength=len(log.items))
        return cls(log.items, counts.astype(np.float32))

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """The same row for every query, (Q, n_items)."""
        return np.tile(self.popularity, (len(queries), 1))


@dataclass(frozen=True, slots=True, eq=False)
class RecencyPopularity:
    """Clicks per item, each halved for every half-life that has passed since."""

    items: Vocabulary
    popularity: npt.NDArray[np.float32]  # (n_items,)
    half_life_s: float

    @classmethod
    def fit(cls, log: InteractionLog, *, at: int, half_life_s: float) -> Self:
        """Decayed counts of the clicks strictly before ``at`` (microseconds since the epoch)."""
        popularity = decayed_popularity(log, at=at, half_life_s=half_life_s)
        return cls(log.items, popularity.astype(np.float32), half_life_s)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """The same row for every query, (Q, n_items)."""
        return np.tile(self.popularity, (len(queries), 1))
