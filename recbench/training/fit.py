"""Train the two-tower: batches, a trainer, and where to stop."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as lightning
import torch

from recbench.errors import InputError, JobError
from recbench.models.two_tower import TwoTower
from recbench.training.batch import Batch
from recbench.training.batches import Batches, EndlessBatches
from recbench.training.checkpoints import CheckpointEvery, WholeFileCheckpointIO
from recbench.training.module import TwoTowerModule
from recbench.training.moments import Moments
from recbench.training.objective import Objective
from recbench.training.progress import EvaluateEvery, TrainingProgress

__all__ = ["Fitted", "fit"]

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


def fit(
    towers: TwoTower,
    batches: Batches,
    *,
    max_steps: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    warmup_steps: int = 20,
    average_decay: float = 0.98,
    objective: Objective | None = None,
    cached_negatives: int = 0,
    accelerator: Accelerator = "cpu",
    precision: Precision = "float32",
    accumulate: int = 1,
    compiled: bool = False,
    evaluate: Callable[[Any], float] | None = None,
    evaluate_every: int = 20,
    patience: int = 8,
    on_value: Callable[[int, float], None] | None = None,
    checkpoint: Path | None = None,
    checkpoint_every: int = 200,
    label: str = "train",
) -> Fitted:
    """Train for ``max_steps``, or to the step that is best by ``evaluate``.

    On the CPU a seed gives the same weights on every run of one machine.

    Args:
        towers: trained in place.
        batches: a pure function of (seed, step).
        max_steps: at most so many; 0 gives the towers back as they are.
        learning_rate: of AdamW, after ``warmup_steps`` linear steps.
        weight_decay: of AdamW.
        warmup_steps: at least 1.
        average_decay: per step, of the moving average of weights that is returned.
        objective: what is minimised; default: the sampled softmax.
        cached_negatives: how many candidates of earlier batches are negatives, too.
        accelerator: ``"gpu"`` is one CUDA device; never chosen by itself.
        precision: ``"bfloat16"`` computes in mixed precision; weights stay float32.
        accumulate: batches whose gradients are averaged for one step.
        compiled: whether torch compiles the loss; pays after some hundred steps, not on all models.
        evaluate: a measure that should grow; the returned towers are the best by it.
        evaluate_every: steps between measures.
        patience: measures without a new best before training stops.
        on_value: told of each (step, measure) as it comes.
        checkpoint: continue from this file if it is there; write it every ``checkpoint_every``.
        checkpoint_every: steps.
        label: what the progress bar is called.

    Raises:
        InputError: ``accelerator="gpu"`` without a CUDA device.
        JobError: the loss became NaN.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("`accelerator='gpu'` needs a CUDA device, and torch sees none; use 'cpu'")
    if max_steps == 0:
        return Fitted(towers, 0, [])
    module = TwoTowerModule(
        towers,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_steps=warmup_steps,
        average_decay=average_decay,
        objective=objective or Objective(),
        cached_negatives=cached_negatives,
        compiled=compiled,
    )
    watch = None
    callbacks: list[lightning.Callback] = [TrainingProgress(label), _StopOnNaN()]
    if evaluate is not None:
        watch = EvaluateEvery(evaluate, steps=evaluate_every, patience=patience, on_value=on_value)
        callbacks.append(watch)
    resume = checkpoint if checkpoint is not None and checkpoint.exists() else None
    if checkpoint is not None:
        callbacks.append(CheckpointEvery(checkpoint, steps=checkpoint_every))
    first_step = torch.load(resume, weights_only=True)["global_step"] if resume else 0
    trainer = _trainer(
        callbacks,
        max_steps=max_steps,
        accelerator=accelerator,
        precision=precision,
        accumulate=accumulate,
    )
    data = EndlessBatches(batches, first_step=first_step * accumulate)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        trainer.fit(module, data, ckpt_path=resume)
    balance, moments = towers.balance_figures(), module.moments()
    best = module.averaged().cpu().eval()
    if watch is None:
        return Fitted(best, trainer.global_step, [], balance, moments)
    best.load_state_dict(watch.best_state)
    return Fitted(best, watch.best_step, watch.curve, balance, moments)


def _trainer(
    callbacks: list[lightning.Callback],
    *,
    max_steps: int,
    accelerator: Accelerator,
    precision: Precision,
    accumulate: int,
) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return lightning.Trainer(
        accelerator="cuda" if accelerator == "gpu" else "cpu",
        devices=1,
        max_steps=max_steps,
        max_epochs=-1,
        callbacks=callbacks,
        precision="bf16-mixed" if precision == "bfloat16" else "32-true",
        accumulate_grad_batches=accumulate,
        plugins=[WholeFileCheckpointIO()],
        logger=False,
        # several threads add gradients of repeated rows in any order, unless told not to
        deterministic=accelerator == "cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


class _StopOnNaN(lightning.Callback):
    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if not torch.isfinite(outputs["loss"]):
            raise JobError(
                f"The loss became {outputs['loss'].item()} at step {trainer.global_step}"
            )
