"""The second stage of a release: what was retrieved for one request, put into order."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.models.ranking import Candidates, RankingFeatures, Retrievers
from recbench.models.ranking.candidates import best_rows
from recbench.models.ranking.sealed import restored
from recbench.refresh.registry import Release
from recbench.refresh.stored_ranker import StoredRanker, read_ranker
from recbench.runtime.onnx_ranker import OnnxRanker
from recbench.serving.histories import Clicks
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ReleasedRanker", "query_of"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SOMEBODY = Vocabulary([0])
FIRST = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class ReleasedRanker:
    """Scores the union of what the index and the release's own retrievers bring.

    It answers one request with a history at a time; who has none gets what was retrieved.
    """

    retrievers: Retrievers
    features: RankingFeatures
    network: OnnxRanker
    stored: StoredRanker  # what it was made of

    @classmethod
    def load(cls, release: Release, items: Vocabulary) -> Self | None:
        """From the files of a release; None where it has no ranker.

        Raises:
            ReleaseError: a file is missing, or of another format.
        """
        stored = read_ranker(release)
        return None if stored is None else cls.of(stored, items)

    @classmethod
    def of(cls, stored: StoredRanker, items: Vocabulary) -> Self:
        """Ready to score; arrays are shared with ``stored``."""
        retrievers, features = restored(stored.arrays, stored.facts, items=items)
        return cls(retrievers, features, OnnxRanker(stored.network), stored)

    @property
    def n_retrieved(self) -> int:
        """How many the index is to bring."""
        return self.retrievers.n_each

    def best(
        self, query: Queries, retrieved: tuple[Ints, Floats], *, allowed: Mask, k: int
    ) -> tuple[Ints, Floats]:
        """Item rows, the best first, and their scores; ties go to the lower row.

        A shorter list is the beginning of a longer one. Where candidates run out, the rest of what
        was retrieved follows in its own order.

        Args:
            query: one request with a history.
            retrieved: item rows that the index brought, all allowed, and their inner products.
            allowed: (n_items,) what may be shown.
            k: how many.
        """
        rows, scores = self._scored(query, retrieved[0][: self.n_retrieved], allowed)
        order = np.argsort(-scores, kind="stable")[:k]
        best = rows[order], scores[order]
        return best if len(order) == k else _followed(best, retrieved, k=k)

    def scores(self, query: Queries, retrieved: Ints, rows: Ints, *, allowed: Mask) -> Floats:
        """(N,) of items, each as in a list of all of them and what the request retrieves itself."""
        listed, scores = self._scored(query, np.concatenate([retrieved, rows]), allowed)
        return scores[np.searchsorted(listed, rows)]

    def _scored(self, query: Queries, brought: Ints, allowed: Mask) -> tuple[Ints, Floats]:
        """Candidates in ascending order, and their scores."""
        wanted = np.zeros(len(allowed), dtype=bool)
        wanted[brought] = True
        told = []
        for name, model in self.retrievers.models.items():
            if name in self.retrievers.untold and name in self._ordered:
                ordered = self._ordered[name]
                wanted[ordered[allowed[ordered]][: self.n_retrieved]] = True
                continue
            (scores,) = model.score_items(query)
            wanted[best_rows(np.where(allowed, scores, 0.0), self.n_retrieved)] = True
            if name not in self.retrievers.untold:
                told.append(scores)
        rows = np.flatnonzero(wanted)
        found = np.stack([scores[rows] for scores in told], axis=-1)  # (C, R)
        features = self.features(query, Candidates(rows[None], found[None]))
        return rows, self.network(features)[0]

    @cached_property
    def _ordered(self) -> dict[str, Ints]:
        """Of retrievers with one list for everybody: all that they bring, the best first."""
        ordered = {}
        for name, model in self.retrievers.models.items():
            popularity = getattr(model, "popularity", None)
            if popularity is not None:
                order = np.argsort(-popularity, kind="stable")
                ordered[name] = order[: np.count_nonzero(popularity > 0)]
        return ordered


def _followed(
    best: tuple[Ints, Floats], retrieved: tuple[Ints, Floats], *, k: int
) -> tuple[Ints, Floats]:
    """What else was retrieved, from the lowest score downwards."""
    left = ~np.isin(retrieved[0], best[0])
    rows, scores = retrieved[0][left], retrieved[1][left]
    lowest = best[1].min(initial=0.0)
    below = (lowest + (scores - scores.max(initial=-np.inf))).astype(np.float32)
    return np.concatenate([best[0], rows])[:k], np.concatenate([best[1], below])[:k]


def query_of(clicks: Clicks, items: Vocabulary, *, at_us: int) -> Queries:
    """One request of somebody who clicked this, all of it before ``at_us``."""
    n = len(clicks.ts)
    log = InteractionLog(
        SOMEBODY,
        items,
        np.zeros(n, dtype=np.int64),
        clicks.item_rows,
        clicks.ts,
        clicks.watch_ratio,
        np.full(n, -1.0, dtype=np.float32),
    )
    return Queries(FIRST, np.array([at_us]), log, FIRST, np.array([n]))
