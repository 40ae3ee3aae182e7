"""Factors of users and items from implicit feedback, by the package `implicit`."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ALS", "BPR"]


@dataclass(frozen=True, slots=True, eq=False)
class ALS:
    """Item factors; a query's factors are solved from its history.

    Source: Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", 2008.
    """

    items: Vocabulary
    item_factors: npt.NDArray[np.float32]  # (n_items, F)
    regularisation: float
    alpha: float

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        *,
        factors: int = 16,
        regularisation: float = 1.0,
        alpha: float = 1.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> Self:
        """Factors after ``iterations`` sweeps, on one thread, so that a seed gives one result.

        A click has confidence ``alpha``, everything else confidence 1 in being 0.

        Raises:
            InputError: a value that no factors can be solved with.
        """
        if min(factors, iterations) < 1 or min(regularisation, alpha) <= 0:
            raise InputError(
                "`factors` and `iterations` must be at least 1, `regularisation` and `alpha` "
                f"positive, got {factors}, {iterations}, {regularisation}, {alpha}"
            )
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=factors,
                regularization=regularisation,
                alpha=alpha,
                iterations=iterations,
                num_threads=1,
                random_state=seed,
            )
            model.fit(log.matrix(), show_progress=False)
        return cls(log.items, np.asarray(model.item_factors), regularisation, alpha)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """Inner products of the solved query factors and the item factors; 0 without history."""
        history = queries.matrix()
        factors = self.item_factors.astype(np.float64)
        base = factors.T @ factors + self.regularisation * np.eye(factors.shape[1])
        solved = np.zeros((len(queries), factors.shape[1]))
        for row, (start, end) in enumerate(
            zip(history.indptr[:-1], history.indptr[1:], strict=True)
        ):
            own = factors[history.indices[start:end]]
            if len(own):
                solved[row] = np.linalg.solve(
                    base + (self.alpha - 1) * own.T @ own, self.alpha * own.sum(axis=0)
                )
        return (solved @ factors.T).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class BPR:
    """Factors by pairwise ranking; users it was not fitted on are the mean of their items.

    Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.
    """

    items: Vocabulary
    users: Vocabulary
    item_factors: npt.NDArray[np.float32]  # (n_items, F), the last one a bias
    user_factors: npt.NDArray[np.float32]  # (n_users, F), the last one 1

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        *,
        factors: int = 32,
        learning_rate: float = 0.05,
        regularisation: float = 0.01,
        iterations: int = 100,
        seed: int = 0,
    ) -> Self:
        """Factors after ``iterations`` epochs, on one thread, so that a seed gives one result.

        Raises:
            InputError: a value that no factors can be learned with.
        """
        if min(factors, iterations) < 1 or learning_rate <= 0 or regularisation < 0:
            raise InputError(
                "`factors` and `iterations` must be at least 1, `learning_rate` positive and "
                "`regularisation` not negative, got "
                f"{factors}, {iterations}, {learning_rate}, {regularisation}"
            )
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularisation,
            iterations=iterations,
            num_threads=1,
            random_state=seed,
        )
        model.fit(log.matrix(), show_progress=False)
        item_factors, user_factors = map(np.asarray, (model.item_factors, model.user_factors))
        return cls(log.items, log.users, item_factors, user_factors)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """Inner products of users and items, (Q, n_items); 0 without history."""
        rows = self.users.rows(queries.user_ids)
        history = queries.matrix()
        lengths = np.maximum(np.diff(history.indptr), 1)[:, None]
        factors = np.asarray(history @ self.item_factors) / lengths
        factors[:, -1] = 1.0  # the item's bias counts once
        factors[rows >= 0] = self.user_factors[rows[rows >= 0]]
        factors[~queries.is_known] = 0.0
        return np.asarray(factors @ self.item_factors.T, dtype=np.float32)
