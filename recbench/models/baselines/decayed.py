"""EASE over what was clicked lately: old clicks count less, and only items that still count."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from recbench.errors import InputError
from recbench.features.popularity import decayed_popularity
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["DecayedEASE", "decayed_clicks"]

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, eq=False)
class DecayedEASE:
    """EASE among the ``most_items`` items of largest decayed popularity; 0 for all others."""

    items: Vocabulary
    kept: npt.NDArray[np.int64]  # (N,) item rows, ascending
    weights: npt.NDArray[np.float32]  # (N, N), diagonal 0
    query_half_life_s: float

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        *,
        at: int,
        half_life_s: float = 60 * DAY_S,
        query_half_life_s: float = 30 * DAY_S,
        regularisation: float = 50.0,
        most_items: int = 3_000,
    ) -> Self:
        """Weights by one inversion: ``most_items ** 2`` memory, ``most_items ** 3`` time.

        Args:
            log: the clicks; those at ``at`` or later do not count.
            at: microseconds since the epoch.
            half_life_s: of a click in the fit; ``inf``: all count alike, as in EASE.
            query_half_life_s: of an event in the history that is asked about.
            regularisation: > 0, in clicks.
            most_items: of the catalogue, at least 1.

        Raises:
            InputError: a value that nothing can be fitted with.
        """
        if min(half_life_s, query_half_life_s, regularisation) <= 0 or most_items < 1:
            raise InputError(
                "`half_life_s`, `query_half_life_s` and `regularisation` must be positive and "
                f"`most_items` at least 1, got {half_life_s}, {query_half_life_s}, "
                f"{regularisation}, {most_items}"
            )
        popularity = decayed_popularity(log, at=at, half_life_s=half_life_s)
        kept = np.sort(np.argsort(-popularity, kind="stable")[:most_items])
        kept = kept[popularity[kept] > 0]
        clicks = decayed_clicks(log, at=at, half_life_s=half_life_s)[:, kept]
        gram = np.asarray((clicks.T @ clicks).todense())
        gram[np.diag_indices_from(gram)] += regularisation
        inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices_from(weights)] = 0.0
        # LAPACK leaves columns together; a sparse history times that copies all of it a query
        rows_together = np.ascontiguousarray(weights, dtype=np.float32)
        return cls(log.items, kept, rows_together, query_half_life_s)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """Summed weights of the decayed history, (Q, n_items); 0 without one."""
        scores = np.zeros((len(queries), len(self.items)), dtype=np.float32)
        history = queries.decayed_matrix(self.query_half_life_s)
        scores[:, self.kept] = np.asarray(history[:, self.kept] @ self.weights)
        return scores


def decayed_clicks(log: InteractionLog, *, at: int, half_life_s: float) -> sparse.csr_matrix:
    """(n_users, n_items) the root of each click's decay, at most 1.

    The root, so that the product of two clicks of one age decays as one click does.
    """
    age_s = np.maximum(at - log.ts, 0) / 1e6
    weight = np.where(log.ts < at, np.exp2(-age_s / half_life_s), 0.0)
    shape = (len(log.users), len(log.items))
    clicks = sparse.csr_matrix((weight, (log.user_rows, log.item_rows)), shape=shape)
    clicks.eliminate_zeros()
    clicks.data = np.sqrt(np.minimum(clicks.data, 1.0))
    return clicks
