"""One training with all its dials, as a value: the same on one process and on each of many."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins import CheckpointIO

from recbench.errors import JobError
from recbench.models.two_tower import TwoTower
from recbench.training.batches import Batches, EndlessBatches
from recbench.training.module import TwoTowerModule
from recbench.training.moments import Moments
from recbench.training.objective import StepLoss
from recbench.training.progress import EvaluateEvery

__all__ = ["Accelerator", "Fitted", "Precision", "Training"]

Accelerator = Literal["cpu", "gpu"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Trained towers, after how many steps, and how the measure went."""

    towers: TwoTower
    steps: int
    curve: list[tuple[int, float]]  # (step, value of the measure); empty where none was given
    balance: dict[str, float] = field(default_factory=dict)  # of experts, in the last step
    moments: Moments = field(default_factory=dict)  # of the optimisers, after the last step


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Training:
    """What is trained and how; `fit` says what each dial means."""

    towers: TwoTower
    batches: Batches
    max_steps: int
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    average_decay: float
    objective: StepLoss
    cached_negatives: int
    accelerator: Accelerator
    precision: Precision
    accumulate: int
    compiled: bool
    evaluate: Callable[[Any], float] | None
    evaluate_every: int
    patience: int

    def run(
        self,
        callbacks: Sequence[lightning.Callback],
        *,
        checkpoints: CheckpointIO,
        resume: Path | None = None,
        first_step: int = 0,
        on_value: Callable[[int, float], None] | None = None,
    ) -> Fitted:
        """Train in this process, to the end or until a callback stops the trainer.

        Args:
            callbacks: further ones, after those that watch the loss and the measure.
            checkpoints: reads and writes them.
            resume: a checkpoint to go on from, taken after ``first_step`` steps.
            first_step: 0 without a checkpoint.
            on_value: told of each (step, measure) as it comes.

        Raises:
            JobError: the loss became NaN.
        """
        module = self._module()
        watch = None
        if self.evaluate is not None:
            watch = EvaluateEvery(
                self.evaluate, steps=self.evaluate_every, patience=self.patience, on_value=on_value
            )
        watching = [] if watch is None else [watch]
        trainer = self._trainer([_StopOnNaN(), *watching, *callbacks], checkpoints)
        data = EndlessBatches(self.batches, first_step=first_step * self.accumulate)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
            trainer.fit(module, data, ckpt_path=resume)
        balance, moments = self.towers.balance_figures(), module.moments()
        best = module.averaged().cpu().eval()
        if watch is None:
            return Fitted(best, trainer.global_step, [], balance, moments)
        best.load_state_dict(watch.best_state)
        return Fitted(best, watch.best_step, watch.curve, balance, moments)

    def _module(self) -> TwoTowerModule:
        return TwoTowerModule(
            self.towers,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup_steps,
            average_decay=self.average_decay,
            objective=self.objective,
            cached_negatives=self.cached_negatives,
            compiled=self.compiled,
        )

    def _trainer(
        self, callbacks: list[lightning.Callback], checkpoints: CheckpointIO
    ) -> lightning.Trainer:
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        return lightning.Trainer(
            accelerator="cuda" if self.accelerator == "gpu" else "cpu",
            devices=1,
            max_steps=self.max_steps,
            max_epochs=-1,
            callbacks=callbacks,
            precision="bf16-mixed" if self.precision == "bfloat16" else "32-true",
            accumulate_grad_batches=self.accumulate,
            plugins=[checkpoints],
            logger=False,
            # several threads add gradients of repeated rows in any order, unless told not to
            deterministic=self.accelerator == "cpu",
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


class _StopOnNaN(lightning.Callback):
    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any, **__: Any
    ) -> None:
        if not torch.isfinite(outputs["loss"]):
            raise JobError(
                f"The loss became {outputs['loss'].item()} at step {trainer.global_step}"
            )
