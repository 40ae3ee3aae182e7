"""The index of a release: chosen by what was measured, kept by a refresh, built again to serve."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from recbench.errors import InputError, ReleaseError
from recbench.index import (
    ApproximateIndex,
    ApproximateSettings,
    Choice,
    ExactIndex,
    Index,
    Trained,
    choose_index,
    kept_index,
)
from recbench.index.choose import EXACT_BELOW
from recbench.index.protocol import Floats, Ints
from recbench.refresh.registry import Release

__all__ = ["read_index", "write_index"]

PARTS = "index_parts.safetensors"
MEASURED_ON = 256  # requests, evenly among those given
K = 20


def write_index(
    folder: Path,
    candidate_embeddings: Floats,
    queries: Floats,
    *,
    hidden: Ints,
    least_recall: float = 0.99,
    parent: Release | None = None,
) -> dict[str, Any]:
    """What a manifest says of the index; what it learned of the catalogue goes into ``folder``.

    The parent's choice is kept with its cells and codebooks as long as it has the recall, measured
    anew; else, and without a parent, every kind is tried. Empty where a large catalogue cannot be
    measured because faiss is not installed: it is then served with the usual settings of its size.

    Args:
        folder: a draft of the registry.
        candidate_embeddings: (C, D) of the release.
        queries: (Q, D) of real requests.
        hidden: item rows never to be returned.
        least_recall: of the exact k best, mean over the queries.
        parent: the release that this one refreshes.

    Raises:
        InputError: no queries.
    """
    if len(candidate_embeddings) > EXACT_BELOW and find_spec("faiss") is None:
        return {}
    at = np.unique(np.linspace(0, len(queries) - 1, MEASURED_ON).astype(np.int64))
    asked = queries[at] if len(queries) else queries
    dials: dict[str, Any] = {"k": K, "least_recall": least_recall, "hidden": hidden}
    kept = _kept(candidate_embeddings, asked, parent, dials)
    choice = kept or choose_index(candidate_embeddings, asked, **dials)
    if isinstance(choice.index, ApproximateIndex):
        save_file(choice.index.trained.to_arrays(), folder / PARTS)
    told: dict[str, Any] = {
        "kind": "exact" if choice.chosen.settings is None else "approximate",
        **choice.chosen.to_json(),
        "k": K,
        "least_recall": least_recall,
        "n_queries": len(asked),
        "n_candidates": len(candidate_embeddings),
        "in_time": choice.in_time,
    }
    if kept is not None and parent is not None:
        before = parent.manifest.index
        return told | {"chosen_for": before["chosen_for"], "kept_from": parent.manifest.release}
    tried = [asdict(one) for one in choice.tried]
    return told | {"chosen_for": len(candidate_embeddings), "tried": tried}


def read_index(release: Release, candidate_embeddings: Floats, *, hidden: Ints) -> Index | None:
    """The index that the release chose, built of its parts; None where it chose none.

    Args:
        release: whose files are verified.
        candidate_embeddings: (C, D) of the release.
        hidden: item rows never to be returned.

    Raises:
        ReleaseError: the manifest and the parts do not belong together.
        InputError: faiss is needed and not installed.
    """
    told = release.manifest.index
    if not told:
        return None
    settings = _settings(told)
    if settings is None:
        return ExactIndex(candidate_embeddings, hidden)
    trained = _trained(release)
    try:
        return ApproximateIndex.build(
            candidate_embeddings, settings, hidden=hidden, trained=trained
        )
    except InputError as error:
        if find_spec("faiss") is None:
            raise
        name = release.manifest.release
        raise ReleaseError(f"The index of release {name} cannot be built: {error}") from error


def _kept(
    candidate_embeddings: Floats, queries: Floats, parent: Release | None, dials: dict[str, Any]
) -> Choice | None:
    if parent is None or not parent.manifest.index:
        return None
    settings = _settings(parent.manifest.index)
    return kept_index(
        candidate_embeddings,
        queries,
        settings=settings,
        trained=Trained() if settings is None else _trained(parent),
        chosen_for=parent.manifest.index["chosen_for"],
        **dials,
    )


def _settings(told: dict[str, Any]) -> ApproximateSettings | None:
    held = told["settings"]
    return None if held is None else ApproximateSettings(**held)


def _trained(release: Release) -> Trained:
    return Trained.from_arrays(load_file(release.path(PARTS)))
