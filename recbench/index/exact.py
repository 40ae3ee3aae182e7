"""Exact top-k by inner product or from given scores; ties go to the lower row."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["ExactIndex", "top_k"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
NOTHING: Ints = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ExactIndex:
    """Candidate embeddings, searched by one matrix product."""

    candidate_embeddings: Floats  # (C, D), by item row
    hidden: Ints = field(default_factory=lambda: NOTHING)  # rows never to be returned

    def __len__(self) -> int:
        """The number of candidates."""
        return len(self.candidate_embeddings)

    def search(
        self, query_embeddings: Floats, *, k: int, excluded: tuple[Ints, Ints] | None = None
    ) -> tuple[Ints, Floats]:
        """The k candidates of largest inner product, and those products, both (Q, k).

        Args:
            query_embeddings: (Q, D).
            k: list length; where fewer candidates are left, rows end in -1 with score -inf.
            excluded: parallel (query, item row) positions never to be returned.
        """
        if query_embeddings.shape[1:] != self.candidate_embeddings.shape[1:]:
            raise InputError(
                f"Query embeddings have {query_embeddings.shape[1:]} dimensions, "
                f"candidates {self.candidate_embeddings.shape[1:]}"
            )
        scores = query_embeddings @ self.candidate_embeddings.T
        scores[:, self.hidden] = -np.inf
        return top_k(scores, k=k, excluded=excluded)


def top_k(
    scores: Floats, *, k: int, excluded: tuple[Ints, Ints] | None = None
) -> tuple[Ints, Floats]:
    """The k best columns of each row, best first, and their scores, both (Q, k).

    Args:
        scores: (Q, C); -inf is never returned. Overwritten at ``excluded``.
        k: list length; where fewer columns are left, rows end in -1 with score -inf.
        excluded: parallel (query, column) positions never to be returned.

    Raises:
        InputError: ``k`` below 1, or a NaN score.
    """
    if k < 1:
        raise InputError(f"`k` must be at least 1, got {k}")
    if np.isnan(scores).any():
        raise InputError(f"{np.isnan(scores).sum()} of {scores.size} scores are NaN")
    if excluded is not None:
        scores[excluded] = -np.inf
    n_columns = scores.shape[1]
    width = min(k, n_columns)
    best = (
        np.argsort(-scores, axis=1, kind="stable")[:, :width]
        if n_columns <= 4 * k
        else (_partial(scores, width))
    )
    rows = np.full((len(scores), k), -1, dtype=np.int64)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    values[:, :width] = np.take_along_axis(scores, best, axis=1)
    rows[:, :width] = np.where(np.isneginf(values[:, :width]), -1, best)
    return rows, values


def _partial(scores: Floats, k: int) -> Ints:
    """Stable top-k without sorting whole rows: the k-th score decides, ties by lower column."""
    threshold = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]  # (Q, 1)
    above = scores > threshold
    wanted = k - above.sum(axis=1, keepdims=True)
    level = scores == threshold
    chosen = above | (level & (np.cumsum(level, axis=1) <= wanted))  # exactly k true a row
    columns = np.nonzero(chosen)[1].reshape(len(scores), k)  # ascending column
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
