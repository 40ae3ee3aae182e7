"""A release made ready to answer single requests: one immutable object that binds all its parts."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.index import ApproximateIndex, Index
from recbench.refresh.contents import Contents
from recbench.refresh.registry import Release
from recbench.refresh.released_tower import released_tower
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.protocol import QueryTower
from recbench.serving.histories import Clicks, ReleasedHistories
from recbench.serving.served_index import served_index
from recbench.tables.queries import LONGEST_WATCH
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Retrieved", "ServedRelease"]

MICROSECONDS = 1e6
WARM_ROUNDS = 8

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Retrieved = tuple[Ints, Floats]  # item rows, best first, and their scores; (K,) each


@dataclass(frozen=True, slots=True, eq=False)
class ServedRelease:
    """The tower, index, catalogue and histories of one release; a request uses one of these."""

    id: str
    items: Vocabulary
    tower: QueryTower
    index: Index
    candidate_embeddings: Floats  # (n_items, D)
    is_hidden: npt.NDArray[np.bool_]  # (n_items,) tombstones
    popular: Retrieved  # every item that may be shown, the most popular first
    categories: dict[str, Ints]  # item rows of each
    durations_ms: npt.NDArray[np.float64]  # (n_items,) NaN where unknown
    histories: ReleasedHistories
    window_names: tuple[str, ...]
    history_length: int
    watermark_us: int
    repeats: bool  # whether lists may hold items of the history, by the data's protocol

    @classmethod
    def load(cls, release: Release, *, precision: str = "fp32") -> Self:
        """From the files of a release.

        Args:
            release: whose files are verified.
            precision: of the query tower: fp32, fp16 or int8.

        Raises:
            ReleaseError: a file is missing, such as the tower in this precision.
        """
        graph = released_tower(release, precision)
        contents = Contents.read(release)
        items, embeddings = contents.items, contents.candidate_embeddings
        features = contents.window_features
        is_hidden = np.zeros(len(items), dtype=np.bool_)
        is_hidden[contents.tombstones] = True
        # as of just after the watermark, so that an event at the watermark is history
        histories = ReleasedHistories.of(
            contents.interactions, items, features, at_us=contents.watermark_us + 1
        )
        return cls(
            id=release.manifest.release,
            items=items,
            tower=OnnxQueryTower(graph, n_items=len(items)),
            index=served_index(release, embeddings, hidden=contents.tombstones),
            candidate_embeddings=embeddings,
            is_hidden=is_hidden,
            popular=_popular(embeddings, contents.tombstones),
            categories=_categories(contents),
            durations_ms=_durations(contents),
            histories=histories,
            window_names=tuple(feature.name for feature in features),
            history_length=contents.history_length,
            watermark_us=contents.watermark_us,
            repeats=release.manifest.protocol != "masked",
        )

    def warm(self) -> None:
        """Answer a few requests, so that the first real one finds everything in memory."""
        n_users = len(self.histories.user_ids)
        for row in np.linspace(0, max(n_users - 1, 0), WARM_ROUNDS).astype(int).tolist():
            clicks = self.histories.clicks_of(row if n_users else -1)
            window = self.histories.window_of(row if n_users else -1)
            query = self.query_embedding(clicks, window, at_us=self.watermark_us + 1)
            self.index.search(query, k=20)

    def release(self) -> None:
        """Free what the index holds outside of Python; nobody may use this release any more."""
        if isinstance(self.index, ApproximateIndex):
            self.index.release()

    def query_embedding(self, clicks: Clicks, window: Floats, *, at_us: int) -> Floats:
        """(1, D) of a user with these clicks and window features (W,) at an instant."""
        length = self.history_length
        rows = np.full((1, length), -1, dtype=np.int64)
        age_s = np.zeros((1, length), dtype=np.float32)
        watched = np.full((1, length), -1.0, dtype=np.float32)
        held = min(len(clicks.ts), length)
        if held:
            rows[0, -held:] = clicks.item_rows[-held:]
            age_s[0, -held:] = (at_us - clicks.ts[-held:]) / MICROSECONDS
            watched[0, -held:] = clicks.watch_ratio[-held:]
        return self.tower(rows, age_s, watched, window[None, :])

    def best(
        self, query: Floats, *, k: int, excluded: Ints, categories: tuple[str, ...] | None
    ) -> Retrieved:
        """The k candidates of largest inner product with the query (1, D); fewer if there are."""
        if categories is not None:
            return self._best_of(query, self._rows_of(categories), k=k, excluded=excluded)
        nobody = np.zeros(len(excluded), dtype=np.int64)
        rows, scores = self.index.search(query, k=k, excluded=(nobody, excluded))
        found = int(np.count_nonzero(rows[0] >= 0))
        return rows[0, :found], scores[0, :found]

    def most_popular(
        self, *, k: int, excluded: Ints, categories: tuple[str, ...] | None
    ) -> Retrieved:
        """The k most popular items, without tower or index."""
        rows, scores = self.popular
        allowed = ~np.isin(rows, excluded)
        if categories is not None:
            allowed &= np.isin(rows, self._rows_of(categories))
        chosen = np.flatnonzero(allowed)[:k]
        return rows[chosen], scores[chosen]

    def watched(self, rows: Ints, watch_ms: Ints) -> Floats:
        """(N,) watched shares of items' lengths, as training has them; -1 where unknown."""
        known = (watch_ms >= 0) & (self.durations_ms[rows] > 0)
        ratio = np.minimum(watch_ms / np.where(known, self.durations_ms[rows], 1.0), LONGEST_WATCH)
        return np.where(known, ratio, -1.0).astype(np.float32)

    def _rows_of(self, categories: tuple[str, ...]) -> Ints:
        none = np.empty(0, dtype=np.int64)
        held = [self.categories.get(name, none) for name in categories]
        return np.unique(np.concatenate([none, *held]))

    def _best_of(self, query: Floats, rows: Ints, *, k: int, excluded: Ints) -> Retrieved:
        """Exactly, over few rows; ties go to the lower row."""
        rows = rows[~self.is_hidden[rows] & ~np.isin(rows, excluded)]
        scores = self.candidate_embeddings[rows] @ query[0]
        order = np.argsort(-scores, kind="stable")[:k]
        return rows[order], scores[order]


def _popular(embeddings: Floats, tombstones: Ints) -> Retrieved:
    """By the last dimension, which holds each item's popularity (`recbench.models.frozen`)."""
    popularity = embeddings[:, -1].copy()
    popularity[tombstones] = -np.inf
    order = np.argsort(-popularity, kind="stable")
    order = order[: len(order) - int(np.isneginf(popularity).sum())]
    return order, popularity[order]


def _durations(contents: Contents) -> npt.NDArray[np.float64]:
    if c.DURATION_MS not in contents.item_features.columns:
        return np.full(len(contents.items), np.nan)
    lengths = contents.item_features[c.DURATION_MS].cast(pl.Float64).fill_null(float("nan"))
    return lengths.to_numpy()


def _categories(contents: Contents) -> dict[str, Ints]:
    if c.CATEGORY not in contents.item_features.columns:
        return {}
    named = contents.item_features.select(c.CATEGORY).with_row_index(c.ITEM_ROW).drop_nulls()
    single = named.with_columns(named[c.CATEGORY].str.split("|")).explode(c.CATEGORY)
    grouped = single.group_by(c.CATEGORY).agg(c.ITEM_ROW)
    rows = {name: np.asarray(held, dtype=np.int64) for name, held in grouped.iter_rows()}
    return {name: np.unique(held) for name, held in rows.items()}
