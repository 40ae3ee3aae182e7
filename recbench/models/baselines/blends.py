"""Recommenders made of two: with a recency prior, and with a fallback for empty histories."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.recommender import Recommender
from recbench.models.baselines.popularity import RecencyPopularity
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["WithFallback", "WithRecencyPrior"]


@dataclass(frozen=True, slots=True, eq=False)
class WithRecencyPrior:
    """``score / largest |score| of the query + weight * popularity / largest popularity``.

    Items that the model scores -inf stay so; they are no query's largest.
    """

    model: Recommender
    prior: RecencyPopularity
    weight: float

    def __post_init__(self) -> None:
        """Both must speak of the same catalogue; more popularity must not lower a score."""
        if not 0 <= self.weight < np.inf:
            raise InputError(f"`weight` must be at least 0 and finite, got {self.weight}")
        if self.model.items != self.prior.items:
            raise InputError(
                f"Model and prior have different catalogues: {self.model.items!r}, "
                f"{self.prior.items!r}"
            )

    @property
    def items(self) -> Vocabulary:
        """The catalogue of both."""
        return self.model.items

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items)."""
        scores = self.model.score_items(queries)
        largest = np.abs(scores).max(axis=1, keepdims=True, initial=0.0, where=np.isfinite(scores))
        popularity = self.prior.popularity / max(self.prior.popularity.max(initial=0.0), 1e-30)
        scaled = scores / np.where(largest > 0, largest, np.float32(1.0))
        return np.asarray(scaled + self.weight * popularity, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class WithFallback:
    """Queries without any history are answered by ``fallback``, all others by ``model``."""

    model: Recommender
    fallback: Recommender

    def __post_init__(self) -> None:
        """Both must speak of the same catalogue."""
        if self.model.items != self.fallback.items:
            raise InputError(
                f"Model and fallback have different catalogues: {self.model.items!r}, "
                f"{self.fallback.items!r}"
            )

    @property
    def items(self) -> Vocabulary:
        """The catalogue of both."""
        return self.model.items

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items)."""
        known = queries.is_known
        scores = np.empty((len(queries), len(self.items)), dtype=np.float32)
        scores[known] = self.model.score_items(queries.take(known))
        scores[~known] = self.fallback.score_items(queries.take(~known))
        return scores
