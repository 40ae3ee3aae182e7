"""Checkpoints that all ranks write together, and that any number of ranks reads.

    FOLDER/LATEST              the name of the last whole checkpoint, moved last
    FOLDER/step-00000120/      `torch.distributed.checkpoint`: each tensor once, in files by rank
    FOLDER/trained/            which examples were trained, see `training.ledger`

A checkpoint is written beside its name, synced and moved there. What is not yet in LATEST does not
exist: a crash at any point leaves the one before.
"""

import errno
import pickle
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor, distributed
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from recbench.files import sync_directory, whole_file
from recbench.training.sharded_rows import RowShard, rows_of_rank

__all__ = ["ShardedCheckpointIO", "latest_checkpoint", "step_of"]

POINTER, REST = "LATEST", "rest"
NAME = re.compile(r"step-(\d{8})")


def latest_checkpoint(folder: Path) -> Path | None:
    """The last whole checkpoint of a folder; None where there is none yet."""
    pointer = folder / POINTER
    return folder / pointer.read_text().strip() if pointer.exists() else None


def step_of(checkpoint: Path | None) -> int:
    """After how many steps it was taken; 0 for None."""
    if checkpoint is None:
        return 0
    found = NAME.fullmatch(checkpoint.name)
    assert found is not None, checkpoint
    return int(found[1])


class ShardedCheckpointIO(CheckpointIO):
    """Lightning's checkpoint as one that ranks write side by side.

    Tensors that all ranks hold alike are dealt out: each is written once. All ranks must save
    together; each reads for itself, whatever the number of ranks that wrote.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write, sync, move into place, point to it, and let older ones go.

        Raises:
            OSError: on all ranks, where the disk of one is full: then the one before stays.
        """
        path = Path(path)
        draft = path.with_name(f".{path.name}.part")
        _on_first_rank(lambda: _make_empty(draft))
        state: dict[str, Any] = {}
        state[REST] = pickle.dumps(_apart(checkpoint, "", state))
        try:
            save(state, storage_writer=FileSystemWriter(draft, sync_files=True))
        except CheckpointException as error:
            if distributed.get_rank() == 0:
                shutil.rmtree(draft, ignore_errors=True)
            raise _as_os_error(error) from error
        _on_first_rank(lambda: _publish(draft, path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """What was saved, on the CPU."""
        reader = FileSystemReader(path)
        rest = pickle.loads(_read(reader, {REST: None})[REST])
        known = reader.read_metadata().state_dict_metadata
        state = {place.name: _room(place, known[place.name]) for place in _places(rest)}
        whole: dict[str, Any] = _together(rest, _read(reader, state))
        return whole

    def remove_checkpoint(self, path: Any) -> None:
        """Let it go."""
        shutil.rmtree(path)


class _Place(NamedTuple):
    """Where a tensor was, and whether each rank has some of its rows."""

    name: str
    is_sharded: bool


def _apart(part: Any, name: str, tensors: dict[str, Any]) -> Any:
    """The nest without its tensors, which go to ``tensors`` by name."""
    if isinstance(part, Tensor | RowShard):
        tensors[name] = part if isinstance(part, Tensor) else _over_ranks(part.own, part.n_rows)
        return _Place(name, isinstance(part, RowShard))
    if isinstance(part, dict):
        return {key: _apart(value, f"{name}/{key}", tensors) for key, value in part.items()}
    if isinstance(part, list):
        return [_apart(value, f"{name}/{at}", tensors) for at, value in enumerate(part)]
    return part


def _together(part: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(part, _Place):
        held = tensors[part.name]
        return held.to_local() if part.is_sharded else held
    if isinstance(part, dict):
        return {key: _together(value, tensors) for key, value in part.items()}
    if isinstance(part, list):
        return [_together(value, tensors) for value in part]
    return part


def _places(part: Any) -> Iterator[_Place]:
    if isinstance(part, _Place):
        yield part
    elif isinstance(part, dict | list):
        for value in part.values() if isinstance(part, dict) else part:
            yield from _places(value)


def _room(place: _Place, held: Any) -> Tensor:
    """Where to read a tensor to: all of it, or the rows that are this rank's now."""
    size, dtype = held.size, held.properties.dtype
    if not place.is_sharded:
        return torch.empty(size, dtype=dtype)
    rank, n_ranks = distributed.get_rank(), distributed.get_world_size()
    first, end = rows_of_rank(size[0], rank=rank, n_ranks=n_ranks)
    return _over_ranks(torch.empty(end - first, *size[1:], dtype=dtype), size[0])


def _over_ranks(own: Tensor, n_rows: int) -> Tensor:
    """This rank's rows as part of the tensor of all ranks."""
    shape = torch.Size([n_rows, *own.shape[1:]])
    mesh = DeviceMesh("cpu", list(range(distributed.get_world_size())))
    stride = torch.empty(shape, device="meta").stride()
    whole: Tensor = DTensor.from_local(
        own.cpu(), mesh, [Shard(0)], run_check=False, shape=shape, stride=stride
    )
    return whole


def _read(reader: FileSystemReader, state: dict[str, Any]) -> dict[str, Any]:
    with warnings.catch_warnings():  # each rank reads for itself, as it should
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(state, storage_reader=reader, no_dist=True)
    return state


def _publish(draft: Path, path: Path) -> None:
    """On one rank: after it the checkpoint counts."""
    before = latest_checkpoint(path.parent)
    sync_directory(draft)
    shutil.rmtree(path, ignore_errors=True)  # of a start that did not get as far as LATEST
    draft.replace(path)
    with whole_file(path.parent / POINTER) as pointer:
        pointer.write_text(path.name)
    for other in path.parent.iterdir():  # the one before stays, for who is reading it
        if NAME.fullmatch(other.name) and other not in (path, before):
            shutil.rmtree(other, ignore_errors=True)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _on_first_rank(act: Callable[[], None]) -> None:
    """The first rank acts; what it fails with, all fail with."""
    failed: list[OSError | None] = [None]
    if distributed.get_rank() == 0:
        try:
            act()
        except OSError as error:
            failed = [error]
    distributed.broadcast_object_list(failed)
    if failed[0] is not None:
        raise failed[0]


def _as_os_error(error: CheckpointException) -> BaseException:
    """The first rank's failure that is one of the disk; else the error itself."""
    for failure, _ in error.failures.values():
        if isinstance(failure, OSError):
            return failure
        if "No space left" in str(failure) or "file write failed" in str(failure):
            return OSError(errno.ENOSPC, str(failure))  # as torch's own writer puts it
    return error
