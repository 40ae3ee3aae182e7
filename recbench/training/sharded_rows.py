"""A table of which each rank holds some rows: it may be larger than any worker's memory.

Plain collectives and not torchrec: torchrec wants fbgemm's kernels and its own optimisers, which
know neither `RowAdam`'s clock of each row nor the averages, and one table needs one exchange.
"""

from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

__all__ = ["RowShard", "RowsOnDisk", "ShardedRows", "rows_of_rank"]


def rows_of_rank(n_rows: int, *, rank: int, n_ranks: int) -> tuple[int, int]:
    """First row and the one after the last: as `torch.chunk` cuts, the last ranks may have none."""
    chunk = -(-n_rows // n_ranks)
    return min(rank * chunk, n_rows), min((rank + 1) * chunk, n_rows)


class ShardedRows(nn.Module):
    """``nn.Embedding(sparse=True)`` over all ranks, called by all of them together.

    ``weight`` (own rows, D) and its gradient are this rank's: rows are asked of who has them, and
    their gradients go back there, summed over all who asked.
    """

    sparse = True

    def __init__(self, own: Tensor, *, n_rows: int) -> None:
        """``own`` are the rows that `rows_of_rank` says, of ``n_rows`` in all."""
        super().__init__()
        self.n_rows = n_rows
        self.weight = nn.Parameter(own)

    def forward(self, rows: Tensor) -> Tensor:
        """(N,) row numbers -> (N, D); each rank asks for what it likes, also for nothing."""
        rank, n_ranks = distributed.get_rank(), distributed.get_world_size()
        first, _ = rows_of_rank(self.n_rows, rank=rank, n_ranks=n_ranks)
        owners = rows // -(-self.n_rows // n_ranks)
        order = owners.argsort(stable=True)
        wanted = torch.bincount(owners, minlength=n_ranks)
        given = torch.empty_like(wanted)
        distributed.all_to_all_single(given, wanted)
        splits = _Splits(sent=wanted.tolist(), received=given.tolist())
        asked = _exchanged(rows[order], splits)
        found = functional.embedding(asked - first, self.weight, sparse=True)
        answers: Tensor = _Exchange.apply(found, splits.back)  # type: ignore[no-untyped-call]  # torch's
        return answers.index_select(0, order.argsort())


class RowShard(NamedTuple):
    """Rows of a tensor that is cut as the table is, in a checkpoint."""

    own: Tensor
    n_rows: int


class RowsOnDisk(nn.Module):
    """A table's place in towers that travel: its rows lie in a file that all share."""

    sparse = True

    def __init__(self, path: Path) -> None:
        """The rows are in ``path``, in numpy's format."""
        super().__init__()
        self.path = path

    @classmethod
    def written(cls, path: Path, table: Tensor) -> Self:
        """Of a table (rows, ...) that is in memory whole."""
        np.save(path, table.numpy())
        return cls(path)

    @classmethod
    def gathered(cls, path: Path, own: Tensor, *, n_rows: int) -> Self:
        """Of each rank's rows; all ranks call it together."""
        rank, n_ranks = distributed.get_rank(), distributed.get_world_size()
        if rank == 0:
            array, shape = own.numpy(), (n_rows, *own.shape[1:])
            np.lib.format.open_memmap(path, mode="w+", dtype=array.dtype, shape=shape).flush()
        distributed.barrier()
        first, end = rows_of_rank(n_rows, rank=rank, n_ranks=n_ranks)
        whole = np.load(path, mmap_mode="r+")
        whole[first:end] = own.numpy()
        whole.flush()
        distributed.barrier()
        return cls(path)

    def of_rank(self, *, rank: int, n_ranks: int) -> ShardedRows:
        """This rank's part; the rest of the file is not read."""
        whole = np.load(self.path, mmap_mode="r")
        first, end = rows_of_rank(len(whole), rank=rank, n_ranks=n_ranks)
        return ShardedRows(torch.from_numpy(np.array(whole[first:end])), n_rows=len(whole))

    def read(self) -> Tensor:
        """All rows."""
        return torch.from_numpy(np.load(self.path))


class _Splits(NamedTuple):
    """How many rows go to, and come from, each rank."""

    sent: list[int]
    received: list[int]

    @property
    def back(self) -> "_Splits":
        return _Splits(sent=self.received, received=self.sent)


def _exchanged(rows: Tensor, splits: _Splits) -> Tensor:
    received = rows.new_empty(sum(splits.received), *rows.shape[1:])
    distributed.all_to_all_single(received, rows.contiguous(), splits.received, splits.sent)
    return received


class _Exchange(torch.autograd.Function):
    """Rows to who asked for them; backward, their gradients to whom they belong."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, splits: _Splits) -> Tensor:
        ctx.splits = splits
        return _exchanged(rows, splits)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _exchanged(gradients[0], ctx.splits.back), None
