"""The two-tower as a Lightning module: a step, an optimiser, an average of the weights."""

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recbench.models.query_towers import Events, Requests
from recbench.models.two_tower import TwoTower
from recbench.training.batch import Batch, Points
from recbench.training.shared_negatives import shared_negatives_loss

__all__ = ["TwoTowerModule", "batch_loss"]


def batch_loss(towers: TwoTower, batch: Batch, *, inner_weight: float = 1.0) -> Tensor:
    """The sampled-softmax loss of one batch: all that a training step computes.

    Next events within histories (``batch.inner``) are judged by the cosine of query and item alone:
    what was popular then is not known to the batch. Their mean counts ``inner_weight`` times.
    """
    encoded = towers.items(batch.item_rows, batch.id_kept)  # (N, D)
    candidates = towers.candidates(
        encoded[batch.candidate_at], batch.candidate_features, batch.candidate_log_prior
    )
    targets = towers.candidates(
        encoded[batch.points.target_at], batch.target_features, batch.target_log_prior
    )
    events = Events(encoded[batch.event_at], batch.layout, batch.age_s, batch.watch_ratio)
    asked = [batch.points] if batch.inner is None else [batch.points, batch.inner]
    requests = Requests(
        torch.cat([points.after for points in asked]),
        torch.cat([points.gap_s for points in asked]),
        torch.cat([points.window for points in asked]),
    )
    queries = towers.queries(events, requests)  # (P or P + I, D + 1)
    n_points = len(batch.points.after)
    loss = _loss(queries[:n_points], targets, candidates, points=batch.points, batch=batch)
    if batch.inner is None:
        return loss
    taste = functional.normalize(encoded, dim=-1)
    inner = _loss(
        queries[n_points:, :-1],
        taste[batch.inner.target_at],
        taste[batch.candidate_at],
        points=batch.inner,
        batch=batch,
    )
    return loss + inner_weight * inner


def _loss(
    queries: Tensor, targets: Tensor, candidates: Tensor, *, points: Points, batch: Batch
) -> Tensor:
    own = batch.candidate_at == points.target_at[:, None]  # (P, C) the target drawn again
    return shared_negatives_loss(
        (queries * targets).sum(dim=1),
        queries @ candidates.T,
        positive_log_q=points.target_log_q,
        log_q=batch.log_q,
        hits=batch.hits[points.history] | own,
    )


class TwoTowerModule(lightning.LightningModule):
    """Trains ``towers``; ``average`` is an exponential moving average of its weights."""

    def __init__(
        self,
        towers: TwoTower,
        *,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        average_decay: float,
        inner_weight: float = 0.0,
    ) -> None:
        """AdamW with a linear warm-up; ``average_decay`` in [0, 1) per step."""
        super().__init__()
        self.towers = towers
        moving = get_ema_multi_avg_fn(average_decay)  # type: ignore[no-untyped-call]  # torch's
        self.average = AveragedModel(towers, multi_avg_fn=moving)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.inner_weight = inner_weight

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The batch's loss; a NaN stops the run."""
        return batch_loss(self.towers, batch, inner_weight=self.inner_weight)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Every tensor of the batch; nothing is copied where it is there already."""
        return batch.to(device)

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """A step, then the average moves: measures and checkpoints after it see both."""
        super().optimizer_step(*arguments, **named)
        self.average.update_parameters(self.towers)

    def configure_optimizers(self) -> Any:
        """The optimiser, and its warm-up by step."""
        optimizer = torch.optim.AdamW(
            self.towers.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        warmup = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / self.warmup_steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": warmup, "interval": "step"},
        }
