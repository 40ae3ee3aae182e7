"""A trained two-tower as of one instant: what answers requests, and what is exported.

Two dimensions more than the towers': the prior, and the recency popularity itself. A query without
history points along the last one only, so it gets exactly the recency-popularity list.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from recbench.features.history import padded_histories
from recbench.models.candidate_features import CandidateFeatures
from recbench.models.encoders.layout import Rectangle
from recbench.models.query_towers import Events, Requests
from recbench.models.two_tower import TwoTower
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["FrozenQueryTower", "TwoTowerRecommender", "WindowLookup"]

# (user_ids (Q,), ts (Q,) microseconds) -> (Q, W) float32 window features as known then
WindowLookup = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.float32]]

Rows = npt.NDArray[np.int64]
NOTHING: Rows = np.empty(0, dtype=np.int64)


class FrozenQueryTower(nn.Module):
    """The query tower with every item's encoding baked in: ids in, query embeddings out."""

    def __init__(self, tower: nn.Module, encoded_items: Tensor) -> None:
        """``encoded_items`` is (n_items, D)."""
        super().__init__()
        self.tower = tower
        self.encoded_items: Tensor
        self.register_buffer("encoded_items", encoded_items)

    def forward(
        self,
        history_rows: Tensor,
        history_age_s: Tensor,
        history_watch_ratio: Tensor,
        window_features: Tensor,
    ) -> Tensor:
        """(B, L) int64 padded on the left with -1, (B, L), (B, L), (B, W) -> (B, D + 2)."""
        held = history_rows >= 0
        n_held = held.sum(dim=1, keepdim=True)  # (B, 1)
        length = history_rows.shape[1]
        places = torch.arange(length, device=history_rows.device)
        # padding goes from the left to the right, where causal layers never look
        moved = (places + length - n_held).clamp(max=length - 1)  # (B, L)
        rows, age_s, watch_ratio = (
            cells.gather(1, moved).flatten()
            for cells in (history_rows.clamp(min=0), history_age_s, history_watch_ratio)
        )
        layout = Rectangle.of(history_rows)
        starts = torch.arange(history_rows.shape[0], device=history_rows.device) * length
        after = starts + (n_held[:, 0] - 1).clamp(min=0)
        encoded = functional.embedding(rows, self.encoded_items)  # a plain Gather in ONNX
        events = Events(encoded, layout, age_s, watch_ratio)
        requests = Requests(after, history_age_s[:, -1], window_features, one_each=True)
        embedded = self.tower(events, requests)
        known = (n_held > 0).to(embedded.dtype)
        return torch.cat([embedded * known, 1.0 - known], dim=-1)


@dataclass(frozen=True, slots=True, eq=False)
class TwoTowerRecommender:
    """Answers the `Recommender` calls with torch; the reference for every other runtime."""

    items: Vocabulary
    query_tower: FrozenQueryTower
    candidate_embeddings: npt.NDArray[np.float32]  # (n_items, D + 2)
    history_length: int
    window_features: WindowLookup
    hidden: Rows = field(default_factory=lambda: NOTHING)  # items never to be shown

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
        hidden: Rows = NOTHING,
    ) -> Self:
        """The towers with the candidates as of ``snapshot``, one row an item."""
        towers = towers.cpu().eval()
        encoded = towers.items(torch.arange(len(items)))
        features, log_prior = map(torch.from_numpy, (snapshot.features, snapshot.log_prior))
        embedded = towers.candidates(encoded, features, log_prior).numpy()
        candidates = np.concatenate([embedded, snapshot.popularity[:, None]], axis=1)
        tower = FrozenQueryTower(towers.queries, encoded).eval()
        return cls(items, tower, candidates, history_length, window_features, hidden)

    @torch.no_grad()
    def query_embeddings(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, D + 2)."""
        inputs = (torch.from_numpy(array) for array in self.inputs(queries))
        embedded: npt.NDArray[np.float32] = self.query_tower(*inputs).numpy()
        return embedded

    def inputs(self, queries: Queries) -> tuple[npt.NDArray[np.generic], ...]:
        """History rows, ages, watched shares, window features: what the exported tower takes."""
        histories = padded_histories(queries, length=self.history_length)
        window = self.window_features(queries.user_ids, queries.ts)
        return histories.item_rows, histories.age_s, histories.watch_ratio, window

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items); -inf for hidden items."""
        scores = self.query_embeddings(queries) @ self.candidate_embeddings.T
        scores[:, self.hidden] = -np.inf
        return scores
