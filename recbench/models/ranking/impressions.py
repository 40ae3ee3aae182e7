"""A ranker of logged impressions: chance of a click and watched share, without the position."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from recbench.models.ranking.network import standardised

__all__ = ["ImpressionRanker", "Predicted"]


class Predicted(NamedTuple):
    """Of N impressions."""

    click_logits: Tensor  # (N,)
    watch_ratio: Tensor  # (N,) expected watched share of what is clicked


class ImpressionRanker(nn.Module):
    """Two tasks on one trunk; where something was shown is an input of training alone.

    A click needs that the place is looked at and that the item is wanted. What the place explains
    is added to the logit in training; in serving its mean over the log stands in, so that chances
    stay calibrated on average.

    Source: Zhao et al., "Recommending what video to watch next: a multitask ranking system",
    RecSys 2019: a shallow tower for the position bias.
    """

    def __init__(self, n_features: int, *, n_positions: int, hidden_dim: int = 32) -> None:
        """``n_positions``: 0 where places are not known."""
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.typical_bias: Tensor
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))
        self.register_buffer("typical_bias", torch.zeros(()))
        self.trunk = nn.Sequential(nn.Linear(n_features, hidden_dim), nn.GELU())
        self.click = nn.Linear(hidden_dim, 1)
        self.watch = nn.Linear(hidden_dim, 1)
        self.position_bias = nn.Parameter(torch.zeros(n_positions))
        self.base = nn.Parameter(torch.zeros(()))  # the click share; not drawn towards 0

    def forward(self, features: Tensor, positions: Tensor | None = None) -> Predicted:
        """(N, F), and in training (N,) places from 0 -> two (N,)."""
        state = self.trunk(standardised(features, self.mean, self.deviation))
        bias = self.typical_bias if positions is None else self.position_bias[positions]
        logits = self.base + self.click(state).squeeze(-1) + bias
        return Predicted(logits, self.watch(state).squeeze(-1))

    @torch.no_grad()
    def settle(self, positions: Tensor) -> None:
        """Let the mean bias of the (N,) logged places stand in for a place."""
        self.typical_bias.copy_(self.position_bias[positions].mean())
