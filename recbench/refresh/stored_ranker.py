"""The ranker of a release: its network as ONNX, all else as safetensors and JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors.numpy import load_file, save_file

from recbench.errors import ReleaseError
from recbench.files import write_json
from recbench.models.ranking.sealed import Arrays, taken_apart
from recbench.refresh.registry import Release
from recbench.runtime.onnx_ranker import export_ranker

if TYPE_CHECKING:
    from recbench.models.ranking.two_stage import TwoStage

__all__ = ["StoredRanker", "has_ranker", "read_ranker", "write_ranker"]

ARRAYS, FACTS, NETWORK = "ranker.safetensors", "ranker.json", "ranker.onnx"
FORMAT = 1


class StoredRanker(NamedTuple):
    """As in the files."""

    arrays: Arrays
    facts: dict[str, Any]
    network: Path


def write_ranker(folder: Path, model: "TwoStage") -> float:
    """Three files; returns the largest difference of a score from torch.

    Args:
        folder: a draft of the registry, whose items are those of the model.
        model: as of the release's instant.

    Raises:
        InputError: a retriever that cannot be released.
        ReleaseError: the exported network differs from torch.
    """
    arrays, facts = taken_apart(model.retrievers, model.features)
    save_file(arrays, folder / ARRAYS)
    write_json(folder / FACTS, {"format": FORMAT} | facts)
    n_features = len(model.features.names)
    return export_ranker(model.ranker.eval(), folder / NETWORK, n_features=n_features)


def has_ranker(release: Release) -> bool:
    """Whether a second stage is among its files."""
    return FACTS in release.manifest.files


def read_ranker(release: Release) -> StoredRanker | None:
    """What ``write_ranker`` wrote; None for a release without a ranker.

    Raises:
        ReleaseError: a file is missing, or of another format.
    """
    if not has_ranker(release):
        return None
    facts = json.loads(release.path(FACTS).read_text(encoding="utf-8"))
    if facts.get("format") != FORMAT:
        raise ReleaseError(
            f"The ranker of {release.manifest.release} has format {facts.get('format')!r}, this "
            f"version reads {FORMAT}"
        )
    return StoredRanker(load_file(release.path(ARRAYS)), facts, release.path(NETWORK))
