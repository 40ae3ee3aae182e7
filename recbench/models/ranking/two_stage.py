"""Retrieval, then ranking: what answers requests with both stages."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from recbench.models.ranking.candidates import Candidates, Retrievers
from recbench.models.ranking.features import RankingFeatures
from recbench.models.ranking.network import ListwiseRanker
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["TwoStage"]


@dataclass(frozen=True, slots=True, eq=False)
class TwoStage:
    """Candidates by the ranker's score; all other items behind them, the popular ones first."""

    retrievers: Retrievers
    features: RankingFeatures
    ranker: ListwiseRanker

    @property
    def items(self) -> Vocabulary:
        """The catalogue of the retrievers."""
        return self.retrievers.items

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items)."""
        candidates = self.retrievers.candidates(queries)
        scores = self.score_candidates(queries, candidates)
        held = candidates.held
        lowest = np.where(held, scores, np.inf).min(axis=1, initial=0.0)[:, None]
        behind = self.features.log_popularity - 1.0  # at most -1
        every = np.asarray(np.minimum(lowest, 0.0) + behind, dtype=np.float32)
        query, place = np.nonzero(held)
        every[query, candidates.rows[query, place]] = scores[query, place]
        return every

    @torch.no_grad()
    def score_candidates(self, queries: Queries, candidates: Candidates) -> npt.NDArray[np.float32]:
        """(Q, C) the ranker's score of each candidate."""
        features = torch.from_numpy(self.features(queries, candidates))
        scored: npt.NDArray[np.float32] = self.ranker.eval()(features).numpy()
        return scored
