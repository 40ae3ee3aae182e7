"""Which file of a release is its query tower of a precision."""

from pathlib import Path

from recbench.errors import InputError, ReleaseError
from recbench.refresh.registry import Release

__all__ = ["QUERY_TOWERS", "released_tower"]

QUERY_TOWERS = {
    "fp32": "query_tower.onnx",
    "fp16": "query_tower_fp16.onnx",
    "int8": "query_tower_int8.onnx",
}


def released_tower(release: Release, precision: str = "fp32") -> Path:
    """The exported query tower.

    Raises:
        InputError: there is no such precision.
        ReleaseError: the release lacks it; the message says why, where the manifest does.
    """
    if precision not in QUERY_TOWERS:
        raise InputError(f"`precision` must be one of {list(QUERY_TOWERS)}, got {precision!r}")
    name, manifest = QUERY_TOWERS[precision], release.manifest
    if precision == "fp32" or name in manifest.files:
        return release.path(name)
    told = manifest.exports.get("query_tower", {}).get(precision, {})
    why = told.get("left_out", "it was made without")
    held = [each for each, file in QUERY_TOWERS.items() if file in manifest.files]
    raise ReleaseError(
        f"Release {manifest.release} has no query tower in {precision}: {why}. It has {held}"
    )
