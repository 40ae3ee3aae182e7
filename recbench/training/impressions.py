"""Train a ranker of impressions: clicks and watched shares, places as an input of training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recbench.errors import InputError
from recbench.models.ranking.impressions import ImpressionRanker
from recbench.training.impression_losses import click_loss

__all__ = ["Impressions", "fit_impressions"]

LARGEST_WEIGHT = 20.0  # of an impression, as a multiple of the mean


@dataclass(frozen=True, slots=True, eq=False)
class Impressions:
    """N logged impressions."""

    features: npt.NDArray[np.float32]  # (N, F)
    clicked: npt.NDArray[np.bool_]  # (N,)
    positions: npt.NDArray[np.int64] | None = None  # (N,) from 0; None: not known
    watch_ratio: npt.NDArray[np.float32] | None = None  # (N,) -1 where unknown
    weights: npt.NDArray[np.float32] | None = None  # (N,) such as 1 / the place's propensity

    def __post_init__(self) -> None:
        """All have one value an impression, and there are both kinds."""
        parts = (self.clicked, self.positions, self.watch_ratio, self.weights)
        lengths = [len(part) for part in parts if part is not None]
        if any(length != len(self.features) for length in lengths):
            raise InputError(
                f"{len(self.features)} impressions need as many values of each kind, got {lengths}"
            )
        if not 0 < self.clicked.sum() < len(self.clicked):
            raise InputError(
                f"{self.clicked.sum()} of {len(self.clicked)} impressions are clicked: there is "
                "nothing to tell apart"
            )


def fit_impressions(
    shown: Impressions,
    *,
    epochs: int = 10,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    watch_weight: float = 0.3,
    hidden_dim: int = 32,
    seed: int = 0,
) -> ImpressionRanker:
    """A ranker after ``epochs``, in eval mode; a seed gives one result.

    With ``positions`` what a place explains is learned beside the ranker and not decayed; with
    ``weights`` (inverse propensities, cut off at twenty times their mean) impressions count as
    they would, had every place been looked at alike. Either one, or both, or none.

    Args:
        shown: what was shown.
        epochs: over all impressions, at least 1.
        batch_size: impressions a step.
        learning_rate: of AdamW; falls to 0.
        weight_decay: of AdamW, on all but biases of places and the click share.
        watch_weight: of the squared error of the watched share of what was clicked; 0: clicks only.
        hidden_dim: of the trunk.
        seed: of weights and order.
    """
    n_positions = 0 if shown.positions is None else int(shown.positions.max()) + 1
    features, clicked = torch.from_numpy(shown.features), torch.from_numpy(shown.clicked)
    positions = None if shown.positions is None else torch.from_numpy(shown.positions)
    ratio = None if shown.watch_ratio is None else torch.from_numpy(shown.watch_ratio)
    weights = None
    if shown.weights is not None:
        most = LARGEST_WEIGHT * float(shown.weights.mean())
        weights = torch.from_numpy(np.minimum(shown.weights, most).astype(np.float32))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        ranker = ImpressionRanker(features.shape[1], n_positions=n_positions, hidden_dim=hidden_dim)
        ranker.mean.copy_(features.mean(dim=0))
        ranker.deviation.copy_(features.std(dim=0, correction=0).clamp(min=1e-3))
        optimizer = _optimizer(ranker, learning_rate, weight_decay)
        n_steps = epochs * -(-len(features) // batch_size)
        rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=n_steps)
        order = np.random.default_rng(seed)
        for _ in range(epochs):
            shuffled = order.permutation(len(features))
            for begin in range(0, len(shuffled), batch_size):
                which = torch.from_numpy(shuffled[begin : begin + batch_size])
                at = None if positions is None else positions[which]
                found = ranker(features[which], at)
                weight = None if weights is None else weights[which]
                loss = click_loss(found.click_logits, clicked[which], weights=weight)
                if ratio is not None and watch_weight:
                    known = clicked[which] & (ratio[which] >= 0)
                    error = (found.watch_ratio - ratio[which]).masked_fill(~known, 0.0).square()
                    loss = loss + watch_weight * error.sum() / known.sum().clamp(min=1)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
                optimizer.step()
                rates.step()
        if positions is not None:
            ranker.settle(positions)
    return ranker.eval()


def _optimizer(
    ranker: ImpressionRanker, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    free = {id(ranker.position_bias), id(ranker.base)}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in ranker.parameters() if id(p) not in free]},
        {"params": [ranker.position_bias, ranker.base], "weight_decay": 0.0, "lr": 0.03},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
