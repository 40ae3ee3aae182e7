"""SLIM: sparse, non-negative item-to-item weights, each item explained by its neighbours."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.errors import InputError
from recbench.models.baselines.neighbours import ItemKNN
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["SLIM"]

ITEMS_AT_ONCE = 512  # bounds the memory of the neighbours' Gram matrices


@dataclass(frozen=True, slots=True, eq=False)
class SLIM:
    """Elastic net over each item's ``k`` nearest neighbours.

    Source: Ning, Karypis, "SLIM: Sparse linear methods for top-n recommender systems", ICDM 2011,
    with its feature selection (fsSLIM).
    """

    items: Vocabulary
    weights: sparse.csr_matrix  # (n_items, n_items): row = history item, column = candidate

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        *,
        k: int = 100,
        l1: float = 1.0,
        l2: float = 20.0,
        sweeps: int = 20,
    ) -> Self:
        """Weights after ``sweeps`` of coordinate descent over the neighbours.

        Args:
            log: the clicks; an item counts once a user.
            k: neighbours that may explain an item, at least 1.
            l1: >= 0, in clicks; what a weight must gain to be there.
            l2: > 0, in clicks; draws weights towards 0.
            sweeps: at least 1.

        Raises:
            InputError: a value that nothing can be fitted with.
        """
        if min(k, sweeps) < 1 or l1 < 0 or l2 <= 0:
            raise InputError(
                "`k` and `sweeps` must be at least 1, `l1` not negative and `l2` positive, got "
                f"{k}, {sweeps}, {l1}, {l2}"
            )
        near = ItemKNN.fit(log, k=k, shrink=0.0).similarity.tocsc()
        clicks = log.matrix().astype(np.float64)
        gram = (clicks.T @ clicks).tocsr()
        rows, columns, values = [], [], []  # of the weights that are not 0
        for start in range(0, len(log.items), ITEMS_AT_ONCE):
            targets = np.arange(start, min(start + ITEMS_AT_ONCE, len(log.items)))
            neighbours, found = _solved(gram, near, targets, l1=l1, l2=l2, sweeps=sweeps)
            which, place = np.nonzero(found)
            rows.append(neighbours[which, place])
            columns.append(targets[which])
            values.append(found[which, place])
        at = (np.concatenate(rows), np.concatenate(columns))
        held = np.concatenate(values).astype(np.float32)
        weights = sparse.csr_matrix((held, at), shape=gram.shape)
        return cls(log.items, weights)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """Summed weights of the history, (Q, n_items); 0 without one."""
        return np.asarray((queries.matrix() @ self.weights).todense(), dtype=np.float32)


def _solved(
    gram: sparse.csr_matrix,
    near: sparse.csc_matrix,
    targets: npt.NDArray[np.int64],
    *,
    l1: float,
    l2: float,
    sweeps: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(T, K) neighbours of T targets, and their weights: one coordinate of all at a time."""
    bounds = near.indptr[targets], near.indptr[targets + 1]
    width = max(1, int((bounds[1] - bounds[0]).max()))
    neighbours = np.zeros((len(targets), width), dtype=np.int64)
    pairs = np.zeros((len(targets), width, width))
    with_target = np.zeros((len(targets), width))
    for at, (target, start, end) in enumerate(zip(targets, *bounds, strict=True)):
        own = near.indices[start:end]
        neighbours[at, : len(own)] = own
        among = gram[own]
        pairs[at, : len(own), : len(own)] = among[:, own].toarray()
        with_target[at, : len(own)] = among[:, [target]].toarray()[:, 0]
    weights = np.zeros((len(targets), width))
    for _ in range(sweeps):
        for place in range(width):
            alone = pairs[:, place, place]
            explained = np.einsum("tk,tk->t", pairs[:, place], weights)
            left = with_target[:, place] - explained + alone * weights[:, place]
            weights[:, place] = np.maximum(left - l1, 0.0) / (alone + l2)
    return neighbours, weights
