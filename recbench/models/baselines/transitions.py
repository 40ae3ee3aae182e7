"""Markov: what was clicked close to the items that were clicked last."""

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
    """Transitions within histories; a query is answered from its last items."""

    items: Vocabulary
    transitions: sparse.csr_matrix  # (n_items, n_items): row = last item, column = candidate
    depth: int = 1  # last events that are asked; the one ``n`` back counts ``1 / n``

    @classmethod
    def fit(
        cls, log: InteractionLog, *, gap: int = 3, two_way: bool = True, depth: int = 1
    ) -> Self:
        """Shares of each row: a pair of events ``g`` apart counts ``1 / g``.

        Args:
            log: the clicks; histories of one user are one sequence.
            gap: the largest distance, at least 1; 1 with ``two_way=False`` is the plain chain.
            two_way: whether what came before counts like what came after.
            depth: how many events of a query are asked, at least 1; 1 is first order.

        Raises:
            InputError: ``gap`` or ``depth`` below 1.
        """
        if min(gap, depth) < 1:
            raise InputError(f"`gap` and `depth` must be at least 1, got {gap} and {depth}")
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
        return cls(log.items, total.astype(np.float32), depth)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items): the rows of each query's last items; 0 without history."""
        back = np.arange(1, self.depth + 1)
        at = queries.ends[:, None] - back
        held = at >= queries.starts[:, None]  # (Q, depth)
        weight = np.where(held, 1.0 / back, 0.0).astype(np.float32)
        asked = queries.log.item_rows[at[held]]
        indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
        shape = (len(queries), len(self.items))
        last = sparse.csr_matrix((weight[held], asked, indptr), shape=shape)
        return np.asarray((last @ self.transitions).todense(), dtype=np.float32)
