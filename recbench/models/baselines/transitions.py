"""First-order Markov: what was clicked close to the item that was clicked last."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Markov"]


@dataclass(frozen=True, slots=True, eq=False)
class Markov:
    """Transitions within histories; a query is answered from its last item."""

    items: Vocabulary
    transitions: sparse.csr_matrix  # (n_items, n_items): row = last item, column = candidate

    @classmethod
    def fit(cls, log: InteractionLog, *, gap: int = 3, two_way: bool = True) -> Self:
        """Shares of each row: a pair of events ``g`` apart counts ``1 / g``.

        Args:
            log: the clicks; histories of one user are one sequence.
            gap: the largest distance, at least 1; 1 with ``two_way=False`` is the plain chain.
            two_way: whether what came before counts like what came after.

        Raises:
            InputError: ``gap`` below 1.
        """
        if gap < 1:
            raise InputError(f"`gap` must be at least 1, got {gap}")
        n_items = len(log.items)
        total = sparse.csr_matrix((n_items, n_items), dtype=np.float64)
        for distance in range(1, min(gap, len(log) - 1) + 1):
            same = log.user_rows[distance:] == log.user_rows[:-distance]
            before, after = log.item_rows[:-distance][same], log.item_rows[distance:][same]
            weight = np.full(len(before), 1.0 / distance)
            counted = sparse.csr_matrix((weight, (before, after)), shape=total.shape)
            total = sparse.csr_matrix(total + counted)
        if two_way:
            total = (total + total.T).tocsr()
        sums = np.asarray(total.sum(axis=1)).ravel()
        total.data /= np.repeat(np.where(sums > 0, sums, 1.0), np.diff(total.indptr))
        return cls(log.items, total.astype(np.float32))

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items): the row of each query's last item; 0 without history."""
        scores = np.zeros((len(queries), len(self.items)), dtype=np.float32)
        known = queries.is_known
        last = queries.log.item_rows[queries.ends[known] - 1]
        scores[known] = np.asarray(self.transitions[last].todense())
        return scores
