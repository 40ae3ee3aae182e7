"""An online state in one file: arrays in safetensors, the rest in its header."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from recbench.errors import InputError
from recbench.features.definitions import Feature, to_json
from recbench.features.online.arrays import Array
from recbench.files import whole_file

__all__ = ["FORMAT", "Captured", "read", "require_same_features", "write"]

HEADER, FORMAT = "recbench_online_state", 1


@dataclass(frozen=True, slots=True, eq=False)
class Captured:
    """A copy of a state that nothing changes any more."""

    header: dict[str, Any]
    arrays: dict[str, Array]


def write(path: Path, saved: Captured) -> None:
    """One file, whole or not at all."""
    header = {HEADER: json.dumps(saved.header)}
    with whole_file(path) as draft:
        save_file(saved.arrays, draft, metadata=header)


def read(path: Path) -> Captured:
    """What ``write`` wrote.

    Raises:
        InputError: the file is missing, cut short, or not of an online state.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(HEADER)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # a file of tensors is no mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is no whole snapshot of an online state: {error}") from error
    header = {} if text is None else json.loads(text)
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path} is no snapshot of an online state in format {FORMAT}; its header says "
            f"{header.get('format')}"
        )
    return Captured(header, arrays)


def require_same_features(features: Sequence[Feature], header: Mapping[str, Any]) -> None:
    """Refuse what was kept for other features.

    Raises:
        InputError: the declarations differ in more than their units.
    """
    own, kept = _by_name(to_json(features)), _by_name(header["features"])
    names = [name for name in {**own, **kept} if own.get(name) != kept.get(name)]
    if names:
        raise InputError(
            f"`features` are not those that were kept; {names[0]!r} is {own.get(names[0])} but was "
            f"{kept.get(names[0])}. Differing: {names}"
        )


def _by_name(declared: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: {k: v for k, v in one.items() if k != "unit"} for one in declared}
