"""The two-tower as a Lightning module: a step, an optimiser, an average of the weights."""

from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from recbench.models.two_tower import TwoTower
from recbench.training.batches import Batch
from recbench.training.losses import sampled_softmax_loss

__all__ = ["TwoTowerModule", "batch_loss"]


def batch_loss(towers: TwoTower, batch: Batch) -> Tensor:
    """The sampled-softmax loss of one batch: all that a training step computes."""
    encoded = towers.items(batch.item_rows, batch.id_kept)  # (N, D)
    candidates = towers.candidates(
        encoded[batch.candidate_at], batch.candidate_features, batch.candidate_log_prior
    )
    queries = towers.queries(
        encoded[batch.history_at], batch.history_held, batch.history_age_s, batch.window_features
    )
    return sampled_softmax_loss(
        queries @ candidates.T, batch.targets, log_q=batch.log_q, hits=batch.hits
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
    ) -> None:
        """AdamW with a linear warm-up; ``average_decay`` in [0, 1) per step."""
        super().__init__()
        self.towers = towers
        moving = get_ema_multi_avg_fn(average_decay)  # type: ignore[no-untyped-call]  # torch's
        self.average = AveragedModel(towers, multi_avg_fn=moving)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The batch's loss; a NaN stops the run."""
        return batch_loss(self.towers, batch)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Every tensor of the batch; nothing is copied where it is there already."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in batch))

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
