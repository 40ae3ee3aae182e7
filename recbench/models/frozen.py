"""A trained two-tower as of one instant: what answers requests, and what is exported.

Two dimensions more than the towers': the prior, and the recency popularity itself. A query without
history points along the last one only, so it gets exactly the recency-popularity list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from recbench.features.history import padded_histories
from recbench.models.candidate_features import CandidateFeatures
from recbench.models.two_tower import QueryTower, TwoTower
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["FrozenQueryTower", "TwoTowerRecommender", "WindowLookup"]

# (user_ids (Q,), ts (Q,) microseconds) -> (Q, W) float32 window features as known then
WindowLookup = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float32]]


class FrozenQueryTower(nn.Module):
    """The query tower with every item's encoding baked in: ids in, query embeddings out."""

    def __init__(self, tower: QueryTower, encoded_items: Tensor) -> None:
        """``encoded_items`` is (n_items, D)."""
        super().__init__()
        self.tower = tower
        self.encoded_items: Tensor
        self.register_buffer("encoded_items", encoded_items)

    def forward(
        self, history_rows: Tensor, history_age_s: Tensor, window_features: Tensor
    ) -> Tensor:
        """(B, L) int64 with -1 where padded, (B, L), (B, W) -> (B, D + 2)."""
        held = (history_rows >= 0).to(self.encoded_items.dtype)
        encoded = self.encoded_items[history_rows.clamp(min=0)]  # (B, L, D)
        embedded = self.tower(encoded, held, history_age_s, window_features)
        known = held.amax(dim=1, keepdim=True)
        return torch.cat([embedded * known, 1.0 - known], dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class TwoTowerRecommender:
    """Answers the `Recommender` calls with torch; the reference for every other runtime."""

    items: Vocabulary
    query_tower: FrozenQueryTower
    candidate_embeddings: npt.NDArray[np.float32]  # (n_items, D + 2)
    history_length: int
    window_features: WindowLookup

    @classmethod
    @torch.no_grad()
    def freeze(
        cls,
        towers: TwoTower,
        items: Vocabulary,
        snapshot: CandidateFeatures,
        *,
        history_length: int,
        window_features: WindowLookup,
    ) -> Self:
        """The towers with the candidates as of ``snapshot`` (its last instant)."""
        towers = towers.cpu().eval()
        encoded = towers.items(torch.arange(len(items)))
        features = torch.from_numpy(snapshot.features[-1])
        log_prior = torch.from_numpy(snapshot.log_prior[-1])
        embedded = towers.candidates(encoded, features, log_prior).numpy()
        candidates = np.concatenate([embedded, snapshot.popularity[-1][:, None]], axis=1)
        tower = FrozenQueryTower(towers.queries, encoded).eval()
        return cls(items, tower, candidates, history_length, window_features)

    @torch.no_grad()
    def query_embeddings(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, D + 2)."""
        inputs = (torch.from_numpy(array) for array in self.inputs(queries))
        embedded: npt.NDArray[np.float32] = self.query_tower(*inputs).numpy()
        return embedded

    def inputs(self, queries: Queries) -> tuple[npt.NDArray[np.generic], ...]:
        """History rows, ages and window features: what the exported tower takes, too."""
        histories = padded_histories(queries, length=self.history_length)
        window = self.window_features(queries.user_ids, queries.ts)
        return histories.item_rows, histories.age_s, window

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items)."""
        return self.query_embeddings(queries) @ self.candidate_embeddings.T
