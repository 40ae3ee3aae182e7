"""Train the two-tower: batches, a trainer, and where to stop; in this process or on a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as lightning
import torch

from recbench.errors import InputError
from recbench.models.two_tower import TwoTower
from recbench.training.batches import Batches
from recbench.training.checkpoints import CheckpointEvery, WholeFileCheckpointIO
from recbench.training.objective import Objective, StepLoss
from recbench.training.progress import TrainingProgress
from recbench.training.trainer import Accelerator, Fitted, Precision, Training

if TYPE_CHECKING:
    from recbench.training.distributed import Cluster

__all__ = ["Accelerator", "Fitted", "fit"]


def fit(
    towers: TwoTower,
    batches: Batches,
    *,
    max_steps: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    warmup_steps: int = 20,
    average_decay: float = 0.98,
    objective: StepLoss | None = None,
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
    cluster: "Cluster | None" = None,
    shard_rows: bool = False,
    label: str = "train",
) -> Fitted:
    """Train for ``max_steps``, or to the step that is best by ``evaluate``.

    On the CPU a seed gives the same weights on every run of one machine. On a cluster the numbers
    are those of one process to rounding, whatever the number of ranks: they share each batch.

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
        accelerator: ``"gpu"`` is one CUDA device, on a cluster one a rank; never chosen by itself.
        precision: ``"bfloat16"`` computes in mixed precision; weights stay float32.
        accumulate: batches whose gradients are averaged for one step.
        compiled: whether torch compiles the loss; pays after some hundred steps, not on all models.
        evaluate: a measure that should grow; the returned towers are the best by it.
        evaluate_every: steps between measures.
        patience: measures without a new best before training stops.
        on_value: told of each (step, measure) as it comes.
        checkpoint: continue from this file if it is there; write it every ``checkpoint_every``.
            On a cluster: a folder that driver and workers share; default: a temporary one, which
            serves workers on this machine.
        checkpoint_every: steps.
        cluster: where to train; see ``recbench.cluster.ranks_on``. Default: in this process.
        shard_rows: on a cluster, each rank holds some rows of the table of item ids, of its
            moments and its average, for tables that no worker can hold; not with ``evaluate``.
        label: what the progress bar is called.

    Raises:
        InputError: ``accelerator="gpu"`` without a CUDA device, or dials that do not go together.
        JobError: the loss became NaN; on a cluster also: it failed too often without a step.
    """
    if max_steps == 0:
        return Fitted(towers, 0, [])
    training = Training(
        towers=towers,
        batches=batches,
        max_steps=max_steps,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        warmup_steps=warmup_steps,
        average_decay=average_decay,
        objective=objective or Objective(),
        cached_negatives=cached_negatives,
        accelerator=accelerator,
        precision=precision,
        accumulate=accumulate,
        compiled=compiled,
        evaluate=evaluate,
        evaluate_every=evaluate_every,
        patience=patience,
    )
    if cluster is not None:
        from recbench.training.distributed import fit_on

        return fit_on(
            cluster,
            training,
            folder=checkpoint,
            checkpoint_every=checkpoint_every,
            on_value=on_value,
            shard_rows=shard_rows,
            label=label,
        )
    if shard_rows:
        raise InputError("`shard_rows` cuts the table among ranks: give a `cluster`, too")
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise InputError("`accelerator='gpu'` needs a CUDA device, and torch sees none; use 'cpu'")
    callbacks: list[lightning.Callback] = [TrainingProgress(label)]
    resume = checkpoint if checkpoint is not None and checkpoint.exists() else None
    if checkpoint is not None:
        callbacks.append(CheckpointEvery(checkpoint, steps=checkpoint_every))
    return training.run(
        callbacks,
        checkpoints=WholeFileCheckpointIO(),
        resume=resume,
        first_step=torch.load(resume, weights_only=True)["global_step"] if resume else 0,
        on_value=on_value,
    )
