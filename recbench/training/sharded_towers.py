"""Towers whose table of item ids is cut by rows: how it gets to the ranks and comes back.

It travels as a file in the folder that all share: no rank ever holds the whole table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from recbench.errors import InputError
from recbench.models.two_tower import TwoTower
from recbench.training.sharded_rows import RowsOnDisk, ShardedRows
from recbench.training.trainer import Fitted, Training

__all__ = ["rows_on_disk", "take_rows", "with_whole_rows", "with_written_rows"]

NAME = "items.item.weight"


@contextmanager
def rows_on_disk(training: Training, folder: Path) -> Iterator[None]:
    """Within, the towers can be sent to ranks: the table's rows lie in the folder.

    Raises:
        InputError: the table's gradients are not sparse, or there is a measure, which needs it
            whole.
    """
    items = training.towers.items
    table = items.item
    if not table.sparse:
        raise InputError(
            "`shard_rows` needs a table with sparse gradients: make the towers with "
            "`table_updates='rows'`"
        )
    if training.evaluate is not None:
        raise InputError("`shard_rows` leaves no rank with all rows, and `evaluate` needs them")
    items.item = cast("Any", RowsOnDisk.written(folder / "rows.npy", table.weight.detach()))
    try:
        yield
    finally:
        items.item = table


def take_rows(towers: TwoTower, *, rank: int, n_ranks: int) -> None:
    """On a rank: its part of the table, in place."""
    table: Any = towers.items.item
    if isinstance(table, RowsOnDisk):
        towers.items.item = cast("Any", table.of_rank(rank=rank, n_ranks=n_ranks))


def with_written_rows(towers: TwoTower, fitted: Fitted, folder: Path) -> Fitted:
    """On all ranks together: what was trained, its rows in files of the folder, not in memory."""
    own: Any = towers.items.item
    if not isinstance(own, ShardedRows):
        return fitted
    averaged: Any = fitted.towers.items.item
    written = {
        key: _gathered(folder / f"rows-{key.partition('/')[0]}.npy", value, own.n_rows)
        for key, value in fitted.moments.items()
        if key.endswith(f"/{NAME}")
    }
    for of, table, name in ((towers, own, "trained"), (fitted.towers, averaged, "averaged")):
        path = folder / f"rows-{name}.npy"
        of.items.item = cast("Any", _gathered(path, table.weight.detach(), own.n_rows))
    return replace(fitted, moments=fitted.moments | cast("dict[str, Tensor]", written))


def with_whole_rows(trained: dict[str, Tensor], fitted: Fitted, folder: Path) -> Fitted:
    """At the driver: the rows read back, into ``trained`` (the towers' state) and the result."""
    averaged: Any = fitted.towers.items.item
    if not isinstance(averaged, RowsOnDisk):
        return fitted
    trained[NAME] = RowsOnDisk(folder / "rows-trained.npy").read()
    weight = averaged.read()
    table = nn.Embedding.from_pretrained(weight, freeze=False, sparse=True)  # type: ignore[no-untyped-call]  # torch's
    fitted.towers.items.item = table.eval()
    held: dict[str, Any] = dict(fitted.moments)
    moments = {key: v.read() if isinstance(v, RowsOnDisk) else v for key, v in held.items()}
    return replace(fitted, moments=moments)


def _gathered(path: Path, own: Tensor, n_rows: int) -> RowsOnDisk:
    return RowsOnDisk.gathered(path, own.detach().to(torch.device("cpu")), n_rows=n_rows)
