"""What the next refresh needs of a release, as files: safetensors, Parquet and JSON."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.torch import load_file, save_file

from recbench import columns as c
from recbench.errors import ReleaseError
from recbench.features.running_popularity import NEVER, RunningPopularity
from recbench.files import write_json
from recbench.models.content import ItemContent, TokenField
from recbench.models.two_tower import TwoTower
from recbench.refresh.notes import Notes
from recbench.refresh.registry import Registry
from recbench.refresh.replay import Exemplars
from recbench.refresh.state import LearnedState
from recbench.tables.vocabulary import Vocabulary

__all__ = ["needed_by", "read_state", "write_state"]

MOMENTS = "training_state.safetensors"
KEPT = "popularity_kept.parquet"  # long: one row an instant and item
POOL = "exemplars.parquet"
LAST = "last_clicks.parquet"
STATE = "refresh.json"
TOWERS = ("query_tower.safetensors", "candidate_tower.safetensors")
AT, FIRST, ROW, LAST_TS = "at", "first_ts", "item_row", "last_ts"


def write_state(folder: Path, state: LearnedState, *, notes: dict[str, Any] | None = None) -> None:
    """Everything but the towers' weights and the items, which a release holds anyway.

    Args:
        folder: a draft of the registry.
        state: as of the release's watermark.
        notes: what else the next refresh is to know, as JSON.
    """
    save_file({name: m.contiguous() for name, m in state.moments.items()}, folder / MOMENTS)
    _long([*state.kept, state.popularity]).write_parquet(folder / KEPT)
    pool = state.pool
    columns = {c.USER_ID: pool.user_ids, AT: pool.at, c.ITEM_ID: pool.item_ids}
    pl.DataFrame(columns).write_parquet(folder / POOL)
    pl.DataFrame({LAST_TS: state.last_ts}).write_parquet(folder / LAST)
    content = state.content
    write_json(
        folder / STATE,
        {
            "number": state.number,
            "instants": [popularity.at for popularity in (*state.kept, state.popularity)],
            "half_lives_s": list(state.popularity.half_lives_s),
            "categories": list(content.category.tokens),
            "title_words": list(content.title.tokens),
            "notes": notes or {},
        },
    )


def read_state(
    folder: Path, new_towers: Callable[[ItemContent], TwoTower]
) -> tuple[LearnedState, dict[str, Any]]:
    """The state that ``write_state`` wrote, and its notes.

    Args:
        folder: of a release or a draft; its files are trusted.
        new_towers: makes untrained towers of the release's architecture.

    Raises:
        ReleaseError: the release was made without a state, or its parts do not belong together.
    """
    if not (folder / STATE).exists():
        raise ReleaseError(
            f"Release {folder.name} cannot be refreshed: it has no {STATE}. Make one by "
            "`recbench run 03_train_two_tower`"
        )
    held = json.loads((folder / STATE).read_text(encoding="utf-8"))
    items = Vocabulary(pl.read_parquet(folder / "items.parquet")[c.ITEM_ID])
    weights = {k: v for name in TOWERS for k, v in load_file(folder / name).items()}
    text = weights.get("items.text")
    content = ItemContent(
        TokenField(tuple(held["categories"]), weights["items.category_rows"].numpy()),
        TokenField(tuple(held["title_words"]), weights["items.title_rows"].numpy()),
        None if text is None else text.numpy(),
    )
    towers = new_towers(content)
    try:
        towers.load_state_dict(weights)
    except RuntimeError as error:
        raise ReleaseError(
            f"The towers of release {folder.name} are not those of its settings: {error}"
        ) from error
    long, half_lives_s = pl.read_parquet(folder / KEPT), tuple(held["half_lives_s"])
    *kept, popularity = (
        _from_long(long.filter(pl.col(AT) == at), at, half_lives_s, n_items=len(items))
        for at in held["instants"]
    )
    pool = pl.read_parquet(folder / POOL)
    state = LearnedState(
        towers=towers.eval(),
        moments=load_file(folder / MOMENTS),
        items=items,
        content=content,
        popularity=popularity,
        pool=Exemplars(*(pool[name].to_numpy() for name in (c.USER_ID, AT, c.ITEM_ID))),
        kept=tuple(kept),
        last_ts=pl.read_parquet(folder / LAST)[LAST_TS].to_numpy(),
        number=held["number"],
    )
    return state, held["notes"]


def needed_by(registry: Registry) -> set[str]:
    """The releases that the current one is compared with, and rolled back to."""
    current = registry.open(verify=False)
    if STATE not in current.manifest.files:  # made by hand: nothing refreshes it
        return set()
    held = json.loads(current.path(STATE).read_text(encoding="utf-8"))
    notes = Notes.from_json(held["notes"])
    return {release for release in (notes.full, notes.anchor) if release is not None}


def _long(kept: Sequence[RunningPopularity]) -> pl.DataFrame:
    """Items without a click have no row."""
    parts = []
    for popularity in kept:
        rows = np.flatnonzero(popularity.first_ts != NEVER)
        values = popularity.values[rows]
        frame = {AT: np.full(len(rows), popularity.at), ROW: rows, FIRST: popularity.first_ts[rows]}
        by_half_life = {str(number): values[:, number] for number in range(values.shape[1])}
        parts.append(pl.DataFrame({**frame, **by_half_life}))
    return pl.concat(parts)


def _from_long(
    rows: pl.DataFrame, at: int, half_lives_s: tuple[float, ...], *, n_items: int
) -> RunningPopularity:
    values = np.zeros((n_items, len(half_lives_s)))
    first_ts = np.full(n_items, NEVER)
    where = rows[ROW].to_numpy()
    values[where] = rows.select(map(str, range(len(half_lives_s)))).to_numpy()
    first_ts[where] = rows[FIRST].to_numpy()
    return RunningPopularity(at, half_lives_s, values, first_ts)
