"""What a release holds besides its towers, written and read: enough to serve without the lake."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.definitions import (
    DecayedPopularity,
    Feature,
    WindowFeature,
    from_json,
    to_json,
)
from recbench.features.derived import columns_of
from recbench.files import write_json
from recbench.refresh.registry import Release
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Contents", "write_contents"]

INDEX = "index.safetensors"
EMBEDDINGS = "candidate_embeddings"
TOMBSTONES = "tombstones.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """A release's tables and index in memory."""

    items: Vocabulary
    item_features: pl.DataFrame  # by item row
    interactions: pl.DataFrame  # up to the watermark: clicks, and what else window features need
    watermark_us: int  # microseconds since the epoch
    candidate_embeddings: npt.NDArray[np.float32]  # (n_items, D)
    window_features: tuple[Feature, ...]
    history_length: int
    tombstones: npt.NDArray[np.int64]  # item rows that are not recommended any more

    @classmethod
    def read(cls, release: Release) -> Self:
        """The files that ``write_contents`` wrote."""
        item_features = pl.read_parquet(release.path("items.parquet"))
        declared = json.loads(release.path("features.json").read_text(encoding="utf-8"))
        items = Vocabulary(item_features[c.ITEM_ID])
        return cls(
            items,
            item_features,
            pl.read_parquet(release.path("interactions.parquet")),
            release.manifest.watermark_us,
            load_file(release.path(INDEX))[EMBEDDINGS],
            from_json(declared["window_features"]),
            declared["history_length"],
            items.rows(pl.read_parquet(release.path(TOMBSTONES))[c.ITEM_ID]),
        )


def write_contents(
    folder: Path,
    *,
    items: Vocabulary,
    item_features: pl.DataFrame,
    events: pl.DataFrame,
    candidate_embeddings: npt.NDArray[np.float32],
    popularity: dict[str, npt.NDArray[np.float64]],
    window_features: Sequence[Feature],
    history_length: int,
    metrics: dict[str, Any],
    tombstones: npt.NDArray[np.int64],
    earlier: pl.DataFrame | None = None,
) -> None:
    """Vocabularies, index, feature definitions, popularity, histories and metrics into ``folder``.

    Args:
        folder: a draft of the registry.
        items: the catalogue.
        item_features: canonical items; those outside the catalogue are left out.
        events: canonical, up to the watermark; their clicks become histories and seen items. An
            event that was not clicked is kept where a window feature is made of it, so that serving
            computes what training saw.
        candidate_embeddings: (n_items, D), finite.
        popularity: named states as of the watermark, each (n_items,).
        window_features: what the query tower takes, in its order.
        history_length: L of the query tower.
        metrics: from the fit before any refit.
        tombstones: item rows that are not recommended any more.
        earlier: interactions of the release before, which those of ``events`` follow.

    Raises:
        InputError: ``candidate_embeddings`` has another number of rows, or holds NaN or infinity.
    """
    if candidate_embeddings.ndim != 2 or len(candidate_embeddings) != len(items):
        raise InputError(
            f"`candidate_embeddings` must have one row an item: expected ({len(items)}, D), got "
            f"{candidate_embeddings.shape}"
        )
    n_bad = int((~np.isfinite(candidate_embeddings)).any(axis=1).sum())
    if n_bad:
        raise InputError(f"`candidate_embeddings` of {n_bad} items are not finite")
    by_row = pl.DataFrame({c.ITEM_ID: items.ids})
    item_features = by_row.join(item_features, on=c.ITEM_ID, how="left", maintain_order="left")
    item_features.write_parquet(folder / "items.parquet")
    by_row[tombstones].write_parquet(folder / TOMBSTONES)
    interactions = _interactions(events, window_features)
    if earlier is not None:
        interactions = pl.concat([earlier, interactions], how="diagonal")
    interactions.write_parquet(folder / "interactions.parquet")
    users = Vocabulary.of(interactions.filter(pl.col(c.CLICKED))[c.USER_ID])
    users.write(folder / "users.parquet", column=c.USER_ID)
    by_row.with_columns(**popularity).write_parquet(folder / "popularity.parquet")
    save_file({EMBEDDINGS: np.ascontiguousarray(candidate_embeddings)}, folder / INDEX)
    declared = {"window_features": to_json(window_features), "history_length": history_length}
    write_json(folder / "features.json", declared)
    write_json(folder / "metrics.json", metrics)


def _interactions(events: pl.DataFrame, features: Sequence[Feature]) -> pl.DataFrame:
    made_of = columns_of(features, events.columns)
    kept = [c.CLICKED, *(counts for feature in features for counts in _unclicked(feature, made_of))]
    watched = [c.WATCH_RATIO] if c.WATCH_RATIO in events.columns else []
    names = dict.fromkeys([c.USER_ID, c.ITEM_ID, c.TS, c.CLICKED, *watched, *made_of])
    return events.filter(pl.any_horizontal(kept)).select(*names)


def _unclicked(feature: Feature, columns: Sequence[str]) -> list[pl.Expr]:
    """Which rows the feature is made of though they may not be clicked: none or one condition."""
    if isinstance(feature, DecayedPopularity) or feature.of == "clicks":
        return []
    if isinstance(feature, WindowFeature) and feature.value is not None:
        return [pl.col(feature.value).is_not_null()] if feature.value in columns else []
    return [pl.lit(True)]
