"""Exact top-k by inner product or from given scores; ties go to the lower row."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from recbench.errors import InputError
from recbench.index.checks import check_rows, check_search, placed
from recbench.index.protocol import Bools, Floats, Ints

__all__ = ["ExactIndex", "largest", "top_k"]

FEW = 256  # scores: sorting all of them is quicker than looking for the best first
NOTHING: Ints = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class ExactIndex:
    """Candidate embeddings, searched by one matrix product; see `Index` for the calls."""

    candidate_embeddings: Floats  # (C, D), by item row
    hidden: Ints = field(default_factory=lambda: NOTHING)  # rows never to be returned

    def __len__(self) -> int:
        """The number of candidates."""
        return len(self.candidate_embeddings)

    @property
    def n_bytes(self) -> int:
        """Embeddings and hidden rows."""
        return int(self.candidate_embeddings.nbytes + self.hidden.nbytes)

    def search(
        self,
        query_embeddings: Floats,
        *,
        k: int,
        excluded: tuple[Ints, Ints] | None = None,
        allowed: Bools | None = None,
    ) -> tuple[Ints, Floats]:
        """The k candidates of largest inner product, and those products, both (Q, k).

        Args:
            query_embeddings: (Q, D).
            k: list length; where fewer candidates are left, rows end in -1 with score -inf.
            excluded: parallel (query, item row) positions never to be returned.
            allowed: (C,) item rows that may be returned; default: all.
        """
        held = self.candidate_embeddings
        check_search(query_embeddings, allowed, dim=held.shape[1], n_rows=len(held))
        scores = query_embeddings @ held.T
        scores[:, self.hidden] = -np.inf
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        return top_k(scores, k=k, excluded=excluded)

    def with_candidates(self, item_rows: Ints, candidate_embeddings: Floats) -> Self:
        """As `Index` says; copies all embeddings."""
        held = placed(self.candidate_embeddings, item_rows, candidate_embeddings)
        return replace(self, candidate_embeddings=held, hidden=np.setdiff1d(self.hidden, item_rows))

    def without(self, item_rows: Ints) -> Self:
        """As `Index` says; shares the embeddings."""
        check_rows(item_rows, n_rows=len(self))
        return replace(self, hidden=np.union1d(self.hidden, item_rows).astype(np.int64))


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
    _require_numbers(scores)
    if excluded is not None:
        scores[excluded] = -np.inf
    rows = np.full((len(scores), k), -1, dtype=np.int64)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for at, row in enumerate(scores):
        best = _largest(row, k)
        rows[at, : len(best)] = best
        values[at, : len(best)] = row[best]
    return rows, values


def largest(scores: Floats, k: int) -> Ints:
    """Places of the k largest of (C,), or of all if they are fewer; ties go to the lower one.

    Raises:
        InputError: a NaN score.
    """
    _require_numbers(scores)
    return _largest(scores, k)


def _require_numbers(scores: Floats) -> None:
    if scores.size and np.isnan(scores.min()):
        raise InputError(f"{np.isnan(scores).sum()} of {scores.size} scores are NaN")


def _largest(scores: Floats, k: int) -> Ints:
    """Without sorting all of them, where they are many; -inf is none."""
    if len(scores) <= FEW:
        order = np.argsort(-scores, kind="stable")[:k]
        return order[scores[order] > -np.inf]
    least = -np.inf
    if len(scores) > 4 * k:
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
    columns = np.flatnonzero(scores >= least if least > -np.inf else scores > -np.inf)
    return columns[np.argsort(-scores[columns], kind="stable")[:k]]
