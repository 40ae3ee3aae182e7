"""Checkpoints that are written whole or not at all."""

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from recbench.files import whole_file

__all__ = ["CheckpointEvery", "WholeFileCheckpointIO"]


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Lightning's own format, written beside the target, synced and moved into place."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """After a crash ``path`` holds the checkpoint before, or this one."""
        with whole_file(Path(path)) as draft:
            super().save_checkpoint(checkpoint, draft, storage_options)


class CheckpointEvery(lightning.Callback):
    """Saves the trainer's whole state to one path every ``steps`` steps."""

    def __init__(self, path: Path, *, steps: int) -> None:
        """``path`` is overwritten, atomically."""
        self.path = path
        self.steps = steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Save when it is time."""
        if trainer.global_step % self.steps == 0:
            trainer.save_checkpoint(self.path)
