"""Item-to-item models: a query's score is the sum over its history."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["EASE", "ItemKNN"]


@dataclass(frozen=True, slots=True, eq=False)
class ItemKNN:
    """Cosine neighbours: only each item's ``k`` nearest count."""

    items: Vocabulary
    similarity: sparse.csr_matrix  # (n_items, n_items): row = history item, column = candidate

    @classmethod
    def fit(cls, log: InteractionLog, *, k: int = 100, shrink: float = 50.0) -> Self:
        """Neighbours by ``both / (|i| |j| + shrink)``; |i| is the root of the item's users.

        Args:
            log: the clicks; an item counts once a user.
            k: neighbours kept for each candidate, at least 1.
            shrink: >= 0; draws pairs with few common users towards 0.
        """
        if k < 1 or shrink < 0:
            raise InputError(f"`k` must be at least 1 and `shrink` at least 0, got {k}, {shrink}")
        matrix = log.matrix()
        both = (matrix.T @ matrix).tocsc()
        both.setdiag(0.0)
        both.eliminate_zeros()
        norm = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
        columns = np.repeat(np.arange(both.shape[1]), np.diff(both.indptr))
        both.data = both.data / (norm[both.indices] * norm[columns] + shrink)
        return cls(log.items, _strongest(both, k).tocsr().astype(np.float32))

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """Summed similarity to the history, (Q, n_items); 0 without one."""
        return np.asarray((queries.matrix() @ self.similarity).todense(), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class EASE:
    """A full linear item-to-item model without self-similarity, in closed form.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019.
    """

    items: Vocabulary
    weights: npt.NDArray[np.float32]  # (n_items, n_items), diagonal 0

    @classmethod
    def fit(cls, log: InteractionLog, *, regularisation: float = 400.0) -> Self:
        """Weights by one matrix inversion: n_items ** 2 memory, n_items ** 3 time."""
        if regularisation <= 0:
            raise InputError(f"`regularisation` must be positive, got {regularisation}")
        matrix = log.matrix().astype(np.float64)
        gram = np.asarray((matrix.T @ matrix).todense())
        gram[np.diag_indices_from(gram)] += regularisation
        inverse = _inverse(gram)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices_from(weights)] = 0.0
        return cls(log.items, weights.astype(np.float32))

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """Summed weights of the history, (Q, n_items); 0 without one."""
        return np.asarray(queries.matrix() @ self.weights, dtype=np.float32)


def _inverse(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of a symmetric, positive definite matrix, which is overwritten; half the time of any other's.

    Its transpose is itself, in the order of memory that LAPACK works in without a copy.
    """
    factor, failed = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
    assert not failed, "a Gram matrix plus a positive diagonal is positive definite"
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower: npt.NDArray[np.float64] = np.tril(inverse)
    lower += np.tril(inverse, -1).T
    return lower


def _strongest(similarity: sparse.csc_matrix, k: int) -> sparse.csc_matrix:
    """Each column's k largest entries; equal ones by lower row."""
    similarity.sort_indices()
    kept = np.ones(similarity.nnz, dtype=bool)
    for start, end in pairwise(similarity.indptr.tolist()):
        if end - start > k:
            values = similarity.data[start:end]
            least = np.partition(values, -k)[-k]
            above, ties = values > least, np.flatnonzero(values == least)
            above[ties[: k - above.sum()]] = True
            kept[start:end] = above
    reached = np.concatenate([[0], np.cumsum(kept)])[similarity.indptr]
    return sparse.csc_matrix(
        (similarity.data[kept], similarity.indices[kept], reached), shape=similarity.shape
    )
