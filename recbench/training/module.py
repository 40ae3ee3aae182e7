"""The two-tower as a Lightning module: a step, an optimiser, an average of the weights."""

from typing import Any, cast

import lightning.pytorch as lightning
import torch
from torch import Tensor, distributed

from recbench.models.ranks import has_ranks
from recbench.models.two_tower import TwoTower
from recbench.training.average import WeightAverage
from recbench.training.batch import Batch
from recbench.training.gradients import average_gradients
from recbench.training.moments import Moments, moments_of
from recbench.training.negative_cache import NegativeCache
from recbench.training.objective import StepLoss
from recbench.training.row_adam import RowAdam
from recbench.training.sharded_rows import RowShard, ShardedRows

__all__ = ["TwoTowerModule"]


class TwoTowerModule(lightning.LightningModule):
    """Trains ``towers``; ``averaged`` gives them with a moving average of their weights.

    Tables with sparse gradients have an optimiser of their own, whose step looks at the rows of
    the batch only; everything else has AdamW.
    """

    def __init__(
        self,
        towers: TwoTower,
        *,
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        average_decay: float,
        objective: StepLoss,
        cached_negatives: int = 0,
        compiled: bool = False,
    ) -> None:
        """A linear warm-up; ``average_decay`` in [0, 1) per step; ``compiled`` by torch.

        ``cached_negatives``: candidates of earlier batches that are negatives, too.
        """
        super().__init__()
        self.towers = towers
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self._tables = {
            f"{name}.weight": cast("torch.nn.Parameter", module.weight)
            for name, module in towers.named_modules()
            if isinstance(module, torch.nn.Embedding | ShardedRows) and module.sparse
        }
        self._shards = {
            f"{name}.weight": module
            for name, module in towers.named_modules()
            if isinstance(module, ShardedRows)
        }
        self.average = WeightAverage(towers, decay=average_decay, without=[*self._tables.values()])
        self._rows = None
        if self._tables:
            self._rows = RowAdam(
                self._tables.values(),
                lr=learning_rate,
                weight_decay=weight_decay,
                average_decay=average_decay,
            )
        self.cache = None
        if cached_negatives:
            self.cache = NegativeCache(cached_negatives, towers.candidates.dim)
        self._loss = torch.compile(objective, dynamic=True) if compiled else objective

    def averaged(self) -> TwoTower:
        """A copy of the towers with averaged weights."""
        tables = {n: self._rows.averaged(t) for n, t in self._tables.items()} if self._rows else {}
        return cast("TwoTower", self.average.of(self.towers, tables))

    def moments(self) -> Moments:
        """What the optimisers know of the towers' parameters."""
        own = self.trainer.optimizers
        return moments_of(self.towers, own if self._rows is None else [*own, self._rows])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The batch's loss, balance losses of experts included; a NaN stops the run."""
        cached = None if self.cache is None else self.cache.read()
        loss, candidates = self._loss(self.towers, batch, cached=cached)
        if self.cache is not None:
            self.cache.push(candidates)
        balance = self.towers.auxiliary_loss()
        return loss if balance is None else loss + balance

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Every tensor of the batch; nothing is copied where it is there already."""
        return batch.to(device)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """With several ranks: the mean of their gradients, so that all make one step."""
        if has_ranks():
            own = {id(shard.weight) for shard in self._shards.values()}
            average_gradients(p for p in self.towers.parameters() if id(p) not in own)
            for shard in self._shards.values():  # it has the sum over ranks already
                if shard.weight.grad is not None:
                    shard.weight.grad = shard.weight.grad / distributed.get_world_size()

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """A step, then the average moves: measures and checkpoints after it see both."""
        warm = self._warm(self.trainer.global_step)  # as the scheduler has it for this step
        super().optimizer_step(*arguments, **named)
        if self._rows is not None:
            for group in self._rows.param_groups:
                group["lr"] = self.learning_rate * warm
            self._rows.step()
            self._rows.zero_grad()
        self.towers.after_step()
        self.average.update(self.towers)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The tables' optimiser, too."""
        if self._rows is None:
            return
        checkpoint["rows"] = rows = self._rows.state_dict()
        for number, name in enumerate(self._tables):
            if name in self._shards and number in rows["state"]:
                n_rows, key = self._shards[name].n_rows, f"towers.{name}"
                state = rows["state"][number].items()
                # copies: the optimiser's own state stays as it is
                rows["state"][number] = {k: _as_shard(held, n_rows) for k, held in state}
                whole = checkpoint["state_dict"]
                checkpoint["state_dict"] = whole | {key: RowShard(whole[key], n_rows)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was."""
        if self._rows is not None:
            self._rows.load_state_dict(checkpoint["rows"])

    def configure_optimizers(self) -> Any:
        """AdamW of all but sparse tables, and its warm-up by step."""
        tables = {id(table) for table in self._tables.values()}
        optimizer = torch.optim.AdamW(
            [parameter for parameter in self.towers.parameters() if id(parameter) not in tables],
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
        )
        warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, self._warm)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": warmup, "interval": "step"},
        }

    def _warm(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup_steps)


def _as_shard(held: Any, n_rows: int) -> Any:
    return RowShard(held, n_rows) if isinstance(held, Tensor) else held
