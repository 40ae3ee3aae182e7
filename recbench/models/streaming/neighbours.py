"""Users who did alike: what else is in the most similar recent histories."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.models.streaming.kernels import history_weights, parts_of
from recbench.tables.click_stream import ClickStream, Histories

__all__ = ["Neighbours", "strongest"]

REMEMBERED = 500_000  # clicks, the newest


@dataclass(frozen=True)
class Neighbours:
    """The histories of everybody, as of the first ``n_known`` clicks.

    Source: V-SKNN of Ludewig, Jannach, "Evaluation of session-based recommendation
    algorithms", 2018.
    """

    memory: sparse.csr_matrix  # (n_users, n_items): 1 where the user clicked the item
    n_known: int
    n_neighbours: int = 100
    fade: float = 1.0  # of the history, see `history_weights`
    length: int = 20  # newest clicks that are compared

    @classmethod
    def nothing(cls, n_users: int, n_items: int, **dials: float) -> Self:
        """Before the first click."""
        return cls(sparse.csr_matrix((n_users, n_items)), 0, **dials)  # type: ignore[arg-type]  # dials by name

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """The same with the clicks that were known before ``to``, microseconds."""
        n_known = int(stream.n_known(to))
        kept = slice(max(0, n_known - REMEMBERED), n_known)
        ones = np.ones(kept.stop - kept.start)
        memory = sparse.csr_matrix(
            (ones, (stream.user_rows[kept], stream.item_rows[kept])), shape=self.memory.shape
        )
        memory.data[:] = 1.0
        return type(self)(memory, n_known, self.n_neighbours, self.fade, self.length)

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """(Q, n_items) shares of the neighbours' items, weighted by similarity; rows sum to 1."""
        weights = history_weights(
            histories, n_items=self.memory.shape[1], fade=self.fade, length=self.length
        )
        alike = (weights @ self._by_item).tocsr()
        own = np.repeat(histories.user_rows, np.diff(alike.indptr)) == alike.indices
        alike.data[own] = 0.0
        found = (strongest(alike, self.n_neighbours) @ self._scaled).tocsr()
        sums = np.asarray(found.sum(axis=1)).ravel()
        shares: sparse.csr_matrix = (
            sparse.diags_array(1 / np.maximum(sums, 1e-300)).dot(found).tocsr()
        )
        return shares

    def parts(self) -> dict[str, npt.NDArray[np.generic]]:
        """What a release serves by."""
        return parts_of("alike", self._scaled) | parts_of("by_item", self._by_item)

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        """(n_items, n_users), each user's items weighing ``1 / sqrt`` of how many they are."""
        return self._scaled.T.tocsr()

    @cached_property
    def _scaled(self) -> sparse.csr_matrix:
        lengths = np.diff(self.memory.indptr)
        scale = sparse.diags_array(1 / np.sqrt(np.maximum(lengths, 1)))
        scaled: sparse.csr_matrix = scale.dot(self.memory).tocsr()
        return scaled


def strongest(rows: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Each row's k largest entries; of equal ones those of the higher column."""
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    order = np.lexsort((-rows.indices, -rows.data, owner))
    kept = order[np.arange(len(order)) - rows.indptr[owner] < k]
    return sparse.csr_matrix((rows.data[kept], (owner[kept], rows.indices[kept])), shape=rows.shape)
