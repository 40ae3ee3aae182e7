"""V-SKNN: sessions that share items with this one, the later items counting more."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["VSKNN"]

STEP = 0.1  # what an item loses in weight for each step that lies after it


@dataclass(frozen=True, slots=True, eq=False)
class VSKNN:
    """Vector multiplication session kNN.

    Source: Ludewig, Jannach, "Evaluation of session-based recommendation algorithms", UMUAI 2018.
    """

    items: Vocabulary
    sessions: sparse.csr_matrix  # (S, n_items) 1 where the session has the item, oldest first
    by_item: sparse.csc_matrix  # the same, by column
    idf: npt.NDArray[np.float32]  # (n_items,) log of sessions over the item's sessions
    k: int
    newest: int

    @classmethod
    def fit(cls, log: InteractionLog, *, k: int = 100, newest: int = 1_000) -> Self:
        """Sessions are the log's users.

        Args:
            log: the clicks.
            k: neighbours of a query, at least 1.
            newest: of the sessions that share an item, so many are compared.

        Raises:
            InputError: ``k`` or ``newest`` below 1.
        """
        if min(k, newest) < 1:
            raise InputError(f"`k` and `newest` must be at least 1, got {k} and {newest}")
        clicks = log.matrix()
        last = np.full(clicks.shape[0], np.iinfo(np.int64).min)
        np.maximum.at(last, log.user_rows, log.ts)
        sessions = clicks[np.argsort(last, kind="stable")]
        having = np.asarray(sessions.sum(axis=0)).ravel()
        idf = np.log(sessions.shape[0] / np.maximum(having, 1.0)).astype(np.float32)
        return cls(log.items, sessions, sessions.tocsc(), idf, k, newest)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items); 0 without history, or where no session shares an item with it."""
        scores = np.zeros((len(queries), len(self.items)), dtype=np.float32)
        for row in range(len(queries)):
            history = queries.log.item_rows[queries.starts[row] : queries.ends[row]]
            if len(history):
                self._add(scores[row], history)
        return scores

    def _add(self, scores: npt.NDArray[np.float32], history: npt.NDArray[np.int64]) -> None:
        """The neighbours' items onto one row of scores."""
        distinct, from_end = np.unique(history[::-1], return_index=True)  # steps since its last
        weight = 1.0 - from_end / len(history)  # linear in the place, the last item 1
        columns, pointers = self.by_item, self.by_item.indptr
        found = [columns.indices[pointers[item] : pointers[item + 1]] for item in distinct]
        sessions = np.concatenate(found)
        neighbours, inverse = np.unique(sessions, return_inverse=True)
        per_item = [len(each) for each in found]
        similarity = np.bincount(inverse, weights=np.repeat(weight, per_item))
        nearest_step = np.full(len(neighbours), len(history))
        np.minimum.at(nearest_step, inverse, np.repeat(from_end, per_item))
        chosen = np.arange(len(neighbours))[-self.newest :]
        lengths = np.diff(self.sessions.indptr)[neighbours[chosen]]
        cosine = similarity[chosen] / np.sqrt(lengths * np.sum(weight**2))
        best = np.lexsort((-chosen, -cosine))[: self.k]
        decay = np.maximum(1.0 - STEP * nearest_step[chosen[best]], 0.0)
        shares = sparse.csr_matrix((cosine[best] * decay)[None, :])
        total = (shares @ self.sessions[neighbours[chosen[best]]]).tocsr()
        scores[total.indices] = total.data * (1.0 + self.idf[total.indices])
