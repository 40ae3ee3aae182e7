"""Whether the files of a draft belong together: each is read back and compared with the others."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load_file

from recbench import columns as c
from recbench.features.batch import Engine, window_lookup
from recbench.features.definitions import Feature, from_json
from recbench.models.content import ItemContent
from recbench.models.two_tower import TwoTower
from recbench.refresh.contents import EMBEDDINGS, INDEX
from recbench.refresh.judge import recommender_of
from recbench.refresh.stored import read_state
from recbench.tables.queries import Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["broken_parts"]

LARGEST_DIFFERENCE = 1e-4
Answer = Callable[[Path, int], Callable[..., np.ndarray]]


def broken_parts(
    folder: Path,
    *,
    parent: Path | None,
    new_towers: Callable[[ItemContent], TwoTower],
    exported: Answer,
    asked: Queries,
    events: pl.DataFrame,
    history_length: int,
    engine: Engine = "cpu",
) -> list[str]:
    """What does not fit, in words; empty where all does.

    The towers are read back and embed the catalogue once more; the index must hold the same
    vectors, the exported tower give the same queries, and old items keep their rows.

    Args:
        folder: a draft with all its files.
        parent: folder of the release before.
        new_towers: makes untrained towers of the draft's architecture.
        exported: opens the exported tower of a folder, for so many items.
        asked: real requests.
        events: of those who ask, for window features.
        history_length: L.
        engine: which computes window features.
    """
    found = []
    state, _ = read_state(folder, new_towers)
    if parent is not None:
        before = Vocabulary(pl.read_parquet(parent / "items.parquet")[c.ITEM_ID])
        if not np.array_equal(state.items.ids[: len(before)], before.ids):
            found.append("items do not keep the rows that they had in the parent")
        declared = (part / "features.json" for part in (folder, parent))
        if len({path.read_text(encoding="utf-8") for path in declared}) > 1:
            found.append("features are declared otherwise than in the parent")
    # features of users do not matter to the index; those of `asked` come from `events`
    window = window_lookup(events, _features(folder), engine=engine)
    model = recommender_of(
        state.towers, state.items, state.popularity, window, history_length=history_length
    )
    index = load_file(folder / INDEX)[EMBEDDINGS]
    if index.shape != model.candidate_embeddings.shape:
        return [*found, f"the index has shape {index.shape}, the towers give another one"]
    near = np.isclose(index, model.candidate_embeddings, rtol=1e-4, atol=LARGEST_DIFFERENCE)
    off = ~near.all(axis=1)
    if not np.isfinite(index).all():
        found.append("the index holds NaN or infinity")
    elif off.any():
        found.append(f"{off.sum()} rows of the index are not what the towers give")
    if len(asked):
        answers = exported(folder, len(state.items))(*model.inputs(asked))
        if not np.allclose(answers, model.query_embeddings(asked), atol=LARGEST_DIFFERENCE):
            found.append("the exported query tower answers otherwise than the towers")
    return found


def _features(folder: Path) -> tuple[Feature, ...]:
    declared = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    return from_json(declared["window_features"])
