"""Which example was trained in which step by which rank: nothing twice, nothing skipped.

``FOLDER/trained/00000120-rank-1-of-2.npz`` holds ``steps`` and ``examples`` (n,) of one rank since
the checkpoint before; it counts once the checkpoint of its step does.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.files import whole_file
from recbench.training.sharded_checkpoints import latest_checkpoint, step_of

__all__ = ["Ledger", "drop_unfinished", "trained_examples"]

Ints = npt.NDArray[np.int64]


class Ledger:
    """One rank's part; in memory until a checkpoint takes it."""

    def __init__(self, folder: Path, *, rank: int, n_ranks: int) -> None:
        """``folder`` is that of the checkpoints."""
        self.folder = folder / "trained"
        self.rank, self.n_ranks = rank, n_ranks
        self._examples: list[tuple[int, Ints]] = []

    def add(self, step: int, examples: Ints) -> None:
        """The rank has trained these in this step, counted from 1."""
        self._examples.append((step, examples))

    def write(self, step: int) -> Path | None:
        """Put down what came since the last call, as of ``step``; before its checkpoint."""
        if not self._examples:
            return None
        path = self.folder / f"{step:08d}-rank-{self.rank}-of-{self.n_ranks}.npz"
        steps = [np.full(len(examples), at) for at, examples in self._examples]
        with whole_file(path) as draft, draft.open("wb") as file:
            np.savez(
                file,
                steps=np.concatenate(steps),
                examples=np.concatenate([examples for _, examples in self._examples]),
            )
        return path

    def forget(self) -> None:
        """What was written is in a checkpoint now."""
        self._examples.clear()


def trained_examples(folder: Path) -> tuple[Ints, Ints]:
    """(steps, examples), (N,) each, of all ranks up to the last checkpoint, in order of steps."""
    last = step_of(latest_checkpoint(folder))
    parts: list[tuple[Ints, Ints]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for path in sorted((folder / "trained").glob("*.npz")):
        if int(path.name[:8]) <= last:
            with np.load(path) as held:
                parts.append((held["steps"], held["examples"]))
    steps, examples = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(steps, kind="stable")
    return steps[order], examples[order]


def drop_unfinished(folder: Path) -> None:
    """Remove what was put down for a checkpoint that never was."""
    last = step_of(latest_checkpoint(folder))
    for path in (folder / "trained").glob("*.npz"):
        if int(path.name[:8]) > last:
            path.unlink()
