"""A small perceptron that scores candidates one by one, learned over whole lists."""

from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["ListwiseRanker", "standardised"]

FARTHEST = 5.0  # standard deviations that a feature counts
SMALLEST_DEVIATION = 1e-3
LITTLE = 0.1  # of a perceptron's first weights, where a good order is known to start from


class ListwiseRanker(nn.Module):
    """Features in, one score a candidate out; features are standardised inside.

    The score is a linear one, which starts at 0 or at what is known to be good, and what a
    perceptron adds to it.
    """

    def __init__(self, n_features: int, *, hidden_dim: int = 64, dropout: float = 0.1) -> None:
        """Two hidden layers of ``hidden_dim``."""
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("deviation", torch.ones(n_features))
        self.layers = nn.Sequential(
            nn.Linear(n_features, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, 1),
        )
        self.linear = nn.Linear(n_features, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Take mean and deviation from (N, F) features of candidates."""
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0, correction=0).clamp(min=SMALLEST_DEVIATION))

    @torch.no_grad()
    def start_at(self, weights: Tensor) -> None:
        """Score by (F,) weights of the features as they come, and little else; standardise first.

        A feature counts up to five deviations here, too.
        """
        self.linear.weight.copy_(weights * self.deviation)
        last = cast("nn.Linear", self.layers[-1])
        last.weight.mul_(LITTLE)

    def forward(self, features: Tensor) -> Tensor:
        """(..., F) -> (...)."""
        scaled = standardised(features, self.mean, self.deviation)
        return cast("Tensor", self.layers(scaled) + self.linear(scaled)).squeeze(-1)


def standardised(features: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """(..., F) features in deviations from the mean, at most five."""
    return ((features - mean) / deviation).clamp(-FARTHEST, FARTHEST)
