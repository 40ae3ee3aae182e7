"""One training on many ranks that come and go: what a rank does, and what it asks of a cluster.

All ranks hold the same weights and share each batch; the step that they make together is that of
one process with the whole batch, to rounding. A batch is a pure function of (seed, step), so the
place in the data is the number of steps of the last checkpoint, whatever ranks there were before
and are now. Launching and watching them is the cluster's part: `recbench.cluster.ranks`.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as lightning
import torch
from torch import Tensor, distributed
from tqdm import tqdm

from recbench.errors import InputError
from recbench.progress import bar
from recbench.training.ledger import Ledger, drop_unfinished
from recbench.training.sharded_checkpoints import ShardedCheckpointIO, latest_checkpoint, step_of
from recbench.training.sharded_towers import (
    rows_on_disk,
    take_rows,
    with_whole_rows,
    with_written_rows,
)
from recbench.training.trainer import Accelerator, Fitted, Training

__all__ = ["Cluster", "Paused", "Rank", "fit_on"]

TELL_EVERY_S = 0.2  # at most so often a rank tells how far it is


class Rank(Protocol):
    """One of the processes that train together; the process group stands when it is handed out."""

    number: int
    n_ranks: int

    def tell(self, name: str, value: Any) -> None:
        """Send something to the driver, in order, without waiting for it."""
        ...

    def asked_to_pause(self) -> bool:
        """Whether other ranks shall go on from the next checkpoint; asked by rank 0 only."""
        ...


@dataclass(frozen=True, slots=True)
class Paused:
    """What work returns when it stopped for other ranks to go on."""

    step: int


class Cluster(Protocol):
    """Whatever can run the same work on ranks, again and again, until it is done."""

    def run_ranks(
        self,
        work: Callable[[Rank], Any],
        *,
        folder: Path,
        accelerator: Accelerator,
        on_told: Callable[[str, Any], None],
    ) -> Any:
        """What rank 0 returned at last.

        ``work`` is sent to each rank. It starts anew after a failure or a `Paused`, with as many
        ranks as there are then, and finds in ``folder``, which all share, how far it had come.
        ``on_told`` gets what ranks tell: ``step``, ``saved``, ``value`` and ``note``.
        """
        ...


def fit_on(
    cluster: Cluster,
    training: Training,
    *,
    folder: Path | None,
    checkpoint_every: int,
    on_value: Callable[[int, float], None] | None,
    shard_rows: bool,
    label: str,
) -> Fitted:
    """What `fit` does on a cluster; the towers given are trained in place, too.

    Raises:
        InputError: ``cluster`` cannot launch ranks, the steps between checkpoints are below 1, or
            as `sharded_towers.rows_on_disk` says.
    """
    if not hasattr(cluster, "run_ranks"):
        raise InputError(
            f"`cluster` must launch ranks, got {type(cluster).__name__}; of a Dask client: "
            "`cluster=recbench.cluster.ranks.ranks_on(client)`"
        )
    if checkpoint_every < 1:
        raise InputError(f"`checkpoint_every` must be at least 1, got {checkpoint_every}")
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recbench-")))
        steps = stack.enter_context(bar(training.max_steps, label=label, unit="step"))
        if shard_rows:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(rows_on_disk(training, folder))
        work = partial(_train, training=training, folder=folder, every=checkpoint_every)
        trained, fitted = cluster.run_ranks(
            work,
            folder=folder,
            accelerator=training.accelerator,
            on_told=_Listener(steps, on_value),
        )
        fitted = with_whole_rows(trained, fitted, folder)
    training.towers.load_state_dict(trained)
    return fitted


class _Listener:
    """The driver's side of what ranks tell; a step taken twice is told once."""

    def __init__(self, bar: "tqdm[Any]", on_value: Callable[[int, float], None] | None) -> None:
        self.bar, self.on_value = bar, on_value
        self.last_value_at = -1

    def __call__(self, name: str, value: Any) -> None:
        if name == "step":
            self.bar.update(value - self.bar.n)
        elif name == "value" and self.on_value is not None and value[0] > self.last_value_at:
            self.last_value_at = value[0]
            self.on_value(*value)
        elif name == "note":
            self.bar.write(value)


def _train(rank: Rank, *, training: Training, folder: Path, every: int) -> Any:
    """One rank's way from the last checkpoint to the end, or to where it is asked to pause."""
    start = latest_checkpoint(folder)
    if rank.number == 0:
        drop_unfinished(folder)
    distributed.barrier()
    take_rows(training.towers, rank=rank.number, n_ranks=rank.n_ranks)
    saver = _SaveTogether(rank, folder, every=every, accumulate=training.accumulate)
    saver.first_step = step_of(start)
    own = replace(
        training,
        batches=replace(training.batches, rank=rank.number, n_ranks=rank.n_ranks),
        evaluate=None if training.evaluate is None else _by_first_rank(training.evaluate),
    )
    fitted = own.run(
        [saver],
        checkpoints=ShardedCheckpointIO(),
        resume=start,
        first_step=saver.first_step,
        on_value=_teller(rank),
    )
    if saver.paused_at is not None:
        return Paused(saver.paused_at)
    fitted = with_written_rows(own.towers, fitted, folder)
    return (own.towers.cpu().state_dict(), fitted) if rank.number == 0 else None


def _teller(rank: Rank) -> Callable[[int, float], None] | None:
    return None if rank.number else lambda step, value: rank.tell("value", (step, value))


def _by_first_rank(evaluate: Callable[[Any], float]) -> Callable[[Any], float]:
    """Measured once, known to all: so all stop at the same step."""

    def measured(towers: Any) -> float:
        value = evaluate(towers) if distributed.get_rank() == 0 else 0.0
        return float(_from_first_rank(torch.tensor(value, dtype=torch.float64)))

    return measured


class _SaveTogether(lightning.Callback):
    """Tells how far training is, keeps the ledger, saves; pauses after a save when asked to."""

    def __init__(self, rank: Rank, folder: Path, *, every: int, accumulate: int) -> None:
        self.rank, self.folder, self.every, self.accumulate = rank, folder, every, accumulate
        self.ledger = Ledger(folder, rank=rank.number, n_ranks=rank.n_ranks)
        self.first_step = self.saved_at = 0
        self.paused_at: int | None = None
        self._n_batches, self._told_at = 0, 0.0

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.saved_at = self.first_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        step = self.first_step + self._n_batches // self.accumulate + 1
        self.ledger.add(step, batch.examples.cpu().numpy())
        self._n_batches += 1
        if self._n_batches % self.accumulate:
            return
        self._tell_step(step)
        if step % self.every == 0:
            self._save(trainer, step)
            if self.saved_at == step < trainer.max_steps and self._shall_pause():
                self.paused_at = step
                trainer.should_stop = True

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step > self.saved_at and self.paused_at is None:
            self._save(trainer, trainer.global_step)

    def _tell_step(self, step: int) -> None:
        now = time.monotonic()
        if self.rank.number == 0 and now - self._told_at > TELL_EVERY_S:
            self._told_at = now
            self.rank.tell("step", step)

    def _shall_pause(self) -> bool:
        asked = self.rank.number == 0 and self.rank.asked_to_pause()
        return bool(_from_first_rank(torch.tensor(int(asked))))

    def _save(self, trainer: lightning.Trainer, step: int) -> None:
        """A checkpoint, or a note of what stood in its way: training goes on without it."""
        written, failure = None, None
        try:
            written = self.ledger.write(step)
        except OSError as error:
            failure = error
        if not _any_rank(failure is not None):
            try:
                trainer.save_checkpoint(self.folder / f"step-{step:08d}")
            except OSError as error:
                failure = error
        if not _any_rank(failure is not None):
            self.ledger.forget()
            self.saved_at = step
            if self.rank.number == 0:
                self.rank.tell("saved", step)
        else:
            if written is not None:
                written.unlink()
            if failure is not None:
                self.rank.tell("note", f"No checkpoint at step {step}: {failure}; training goes on")


def _any_rank(own: bool) -> bool:
    total = torch.tensor(int(own))
    distributed.all_reduce(total)
    return bool(total)


def _from_first_rank(value: Tensor) -> Tensor:
    distributed.broadcast(value, src=0)
    return value
