"""A release laid out for serving: arrays as files that every worker maps, and what is no array.

Reading a release means joins, sorts and indexes; opening what was laid out means mapping pages that
are in memory already, and all workers share them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.files import write_json
from recbench.index import ApproximateIndex, ApproximateSettings, ExactIndex, Index
from recbench.refresh.registry import Release
from recbench.refresh.released_tower import released_tower
from recbench.refresh.stored_ranker import StoredRanker
from recbench.runtime.onnx import OnnxQueryTower, optimised
from recbench.serving.histories import Clicks, ReleasedHistories, no_clicks
from recbench.serving.ranker import ReleasedRanker
from recbench.serving.served_release import ServedRelease
from recbench.tables.vocabulary import Vocabulary

__all__ = ["lay_out", "open_laid_out"]

FACTS, INDEX, TOWER, RANKER = "facts.json", "index.faiss", "tower.onnx", "ranker.onnx"
OF_RANKER = "ranker-"  # how names of its arrays begin
NAMED = ("id", "fit", "window_names", "history_length", "watermark_us", "repeats")
Arrays = Mapping[str, npt.NDArray[Any]]


def lay_out(release: Release, folder: Path, *, precision: str = "fp32") -> None:
    """Write all of it.

    Args:
        release: whose files are verified.
        folder: an empty one.
        precision: of the query tower.

    Raises:
        ReleaseError: as ``ServedRelease.load``.
    """
    optimised(released_tower(release, precision), folder / TOWER)
    served = ServedRelease.load(release, optimised_tower=folder / TOWER)
    histories = served.histories
    names, begins, rows = _flat(served.categories)
    arrays = {
        "item_ids": served.items.ids,
        "item_order": served.items.order,
        "candidate_embeddings": served.candidate_embeddings,
        "is_hidden": served.is_hidden,
        "popular_rows": served.popular[0],
        "popular_scores": served.popular[1],
        "category_begins": begins,
        "category_rows": rows,
        "durations_ms": served.durations_ms,
        "user_ids": histories.user_ids,
        "user_begins": histories.begins,
        **{f"click_{name}": array for name, array in histories.clicks._asdict().items()},
        "window": histories.window,
        "window_of_nobody": histories.of_nobody,
    }
    stored = None if served.ranker is None else served.ranker.stored
    if stored is not None:
        arrays |= {f"{OF_RANKER}{name}": array for name, array in stored.arrays.items()}
        copyfile(stored.network, folder / RANKER)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    settings = None
    if isinstance(served.index, ApproximateIndex):
        served.index.save(folder / INDEX)
        settings = asdict(served.index.settings)
    facts = {name: getattr(served, name) for name in NAMED}
    ranker = None if stored is None else stored.facts
    write_json(folder / FACTS, facts | {"categories": names, "index": settings, "ranker": ranker})


def open_laid_out(folder: Path) -> ServedRelease:
    """What ``lay_out`` wrote, ready to serve; its pages are read when needed."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    arrays = {path.stem: _mapped(path) for path in folder.glob("*.npy")}
    items = Vocabulary.restored(arrays["item_ids"], arrays["item_order"])
    return ServedRelease(
        id=facts["id"],
        fit=facts["fit"],
        items=items,
        tower=OnnxQueryTower(folder / TOWER, n_items=len(arrays["item_ids"]), is_optimised=True),
        index=_index(folder, arrays, facts["index"]),
        candidate_embeddings=arrays["candidate_embeddings"],
        is_hidden=arrays["is_hidden"],
        popular=(arrays["popular_rows"], arrays["popular_scores"]),
        categories=_named(facts["categories"], arrays),
        durations_ms=arrays["durations_ms"],
        histories=_histories(arrays),
        window_names=tuple(facts["window_names"]),
        history_length=facts["history_length"],
        watermark_us=facts["watermark_us"],
        repeats=facts["repeats"],
        ranker=_ranker(folder, arrays, facts["ranker"], items),
    )


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The array, read-only; a plain one, as slices of ``np.memmap`` are slow."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # nothing can be mapped of an empty one
        return np.asarray(np.load(path, allow_pickle=False))


def _histories(arrays: Arrays) -> ReleasedHistories:
    return ReleasedHistories(
        user_ids=arrays["user_ids"],
        begins=arrays["user_begins"],
        clicks=Clicks(*(arrays[f"click_{name}"] for name in Clicks._fields)),
        window=arrays["window"],
        of_nobody=arrays["window_of_nobody"],
        none=no_clicks(),
    )


def _ranker(
    folder: Path, arrays: Arrays, facts: dict[str, Any] | None, items: Vocabulary
) -> ReleasedRanker | None:
    if facts is None:
        return None
    own = {
        name.removeprefix(OF_RANKER): array
        for name, array in arrays.items()
        if name.startswith(OF_RANKER)
    }
    return ReleasedRanker.of(StoredRanker(own, facts, folder / RANKER), items)


def _index(folder: Path, arrays: Arrays, settings: dict[str, Any] | None) -> Index:
    hidden = np.flatnonzero(arrays["is_hidden"])
    embeddings = arrays["candidate_embeddings"]
    if settings is None:
        return ExactIndex(embeddings, hidden)
    chosen = ApproximateSettings(**settings)
    return ApproximateIndex.load(folder / INDEX, embeddings, chosen, hidden=hidden)


def _flat(
    categories: dict[str, npt.NDArray[np.int64]],
) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Names, where each one's rows begin, and the rows."""
    held = list(categories.values())
    begins = np.cumsum([0, *map(len, held)], dtype=np.int64)
    rows = np.concatenate([np.empty(0, dtype=np.int64), *held])
    return list(categories), begins, rows


def _named(names: list[str], arrays: Arrays) -> dict[str, npt.NDArray[np.int64]]:
    begins = arrays["category_begins"].tolist()
    rows = arrays["category_rows"]
    return {name: rows[begins[at] : begins[at + 1]] for at, name in enumerate(names)}
