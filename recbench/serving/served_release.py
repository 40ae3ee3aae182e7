"""A release made ready to answer single requests: one immutable object that binds all its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
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
from recbench.serving.histories import KnownUser, ReleasedHistories
from recbench.serving.ranker import ReleasedRanker, query_of
from recbench.serving.served_index import served_index
from recbench.tables.queries import LONGEST_WATCH
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Retrieved", "ServedRelease"]

MICROSECONDS = 1e6
WARM_SIZES = (1, 2, 4)  # answered together; a larger one costs hardly more the first time

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Retrieved = tuple[Ints, Floats]  # item rows, best first, and their scores; (K,) each


@dataclass(frozen=True, slots=True, eq=False)
class ServedRelease:
    """The tower, index, catalogue and histories of one release; a request uses one of these."""

    id: str
    fit: str  # the release whose full fit the towers go on from
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
    ranker: ReleasedRanker | None = None  # None: lists are as the index has them

    @classmethod
    def load(
        cls,
        release: Release,
        *,
        precision: str = "fp32",
        optimised_tower: Path | None = None,
    ) -> Self:
        """From the files of a release.

        Args:
            release: whose files are verified.
            precision: of the query tower: fp32, fp16 or int8.
            optimised_tower: what ``optimised`` made of it in its precision, where that was done.

        Raises:
            ReleaseError: a file is missing, such as the tower in this precision.
        """
        graph = optimised_tower or released_tower(release, precision)
        is_optimised = optimised_tower is not None
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
            fit=release.manifest.fit,
            items=items,
            tower=OnnxQueryTower(graph, n_items=len(items), is_optimised=is_optimised),
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
            ranker=ReleasedRanker.load(release, items),
        )

    def warm(self) -> None:
        """Answer a few requests, so that the first real one finds everything in memory."""
        n_users = len(self.histories.user_ids)
        rows = np.linspace(0, max(n_users - 1, 0), WARM_SIZES[-1]).astype(int).tolist()
        known = [self.known(row if n_users else -1) for row in rows]
        for together in WARM_SIZES:
            queries = self.query_embeddings(known[:together])
            self.index.search(queries, k=20)
        if self.ranker is not None and len(known[0].clicks.ts):
            retrieved = self.best(queries[:1], k=20, excluded=[known[0].seen], categories=None)[0]
            self.ranked(known[0], retrieved, k=20, excluded=known[0].seen, categories=None)

    def release(self) -> None:
        """Free what the index holds outside of Python; nobody may use this release any more."""
        if isinstance(self.index, ApproximateIndex):
            self.index.release()

    def known(self, row: int) -> KnownUser:
        """The user in ``row`` just after the watermark; in -1 nobody whom the release knows."""
        clicks, window = self.histories.clicks_of(row), self.histories.window_of(row)
        return KnownUser(clicks, clicks.item_rows, window, self.watermark_us + 1)

    def query_embeddings(self, known: Sequence[KnownUser]) -> Floats:
        """(B, D) of users, each at an instant of their own."""
        length = self.history_length
        rows = np.empty((len(known), length), dtype=np.int64)
        age_s = np.zeros((len(known), length), dtype=np.float32)
        watched = np.empty((len(known), length), dtype=np.float32)
        window = np.empty((len(known), len(self.window_names)), dtype=np.float32)
        rows.fill(-1)  # np.full takes twice as long
        watched.fill(-1.0)
        for at, user in enumerate(known):
            clicks, window[at] = user.clicks, user.window
            held = min(len(clicks.ts), length)
            if held:
                rows[at, -held:] = clicks.item_rows[-held:]
                age_s[at, -held:] = (user.at_us - clicks.ts[-held:]) / MICROSECONDS
                watched[at, -held:] = clicks.watch_ratio[-held:]
        return self.tower(rows, age_s, watched, window)

    def best(
        self,
        queries: Floats,
        *,
        k: int,
        excluded: Sequence[Ints],
        categories: tuple[str, ...] | None,
    ) -> list[Retrieved]:
        """The k candidates of largest inner product with each query (B, D); fewer if there are.

        Args:
            queries: of users.
            k: how many.
            excluded: item rows that each of them is not shown.
            categories: only items of one of these; None: of any.
        """
        if categories is not None:
            rows = self._rows_of(categories)
            each = zip(queries, excluded, strict=True)
            return [self._best_of(query, rows, k=k, excluded=barred) for query, barred in each]
        if len(excluded) == 1:  # most often, and then in a ninth of the time
            pairs = np.zeros(len(excluded[0]), dtype=np.int64), excluded[0]
        else:
            whose = np.repeat(np.arange(len(excluded)), [len(barred) for barred in excluded])
            pairs = whose, np.concatenate([*excluded])
        found, scores = self.index.search(queries, k=k, excluded=pairs)
        return [_filled(*each) for each in zip(found, scores, strict=True)]

    def rows_outside(self, categories: tuple[str, ...], rows: Ints) -> Ints:
        """Those of ``rows`` that are in none of the categories."""
        return rows[~np.isin(rows, self._rows_of(categories))]

    def depth(self, k: int) -> int:
        """How many candidates a list of ``k`` is made of."""
        return k if self.ranker is None else max(k, self.ranker.n_retrieved)

    def ranked(
        self,
        known: KnownUser,
        retrieved: Retrieved,
        *,
        k: int,
        excluded: Ints,
        categories: tuple[str, ...] | None,
    ) -> Retrieved:
        """What ``best`` found for one user, in the ranker's order; else its first ``k``.

        Somebody without a history is not ranked: popularity is what the release has for them.
        """
        rows, scores = retrieved
        if self.ranker is None or not len(known.clicks.ts):
            return rows[:k], scores[:k]
        query = query_of(known.clicks, self.items, at_us=known.at_us)
        return self.ranker.best(query, retrieved, allowed=self._allowed(excluded, categories), k=k)

    def scores(self, known: KnownUser, rows: Ints) -> Floats:
        """(N,) of items for one user: the ranker's, or without one the inner products."""
        (query,) = self.query_embeddings([known])
        if self.ranker is None or not len(known.clicks.ts):
            found: Floats = self.candidate_embeddings[rows] @ query
            return found
        barred = known.seen[:0] if self.repeats else known.seen
        depth = self.ranker.n_retrieved
        retrieved = self.best(query[None], k=depth, excluded=[barred], categories=None)[0][0]
        asked = query_of(known.clicks, self.items, at_us=known.at_us)
        return self.ranker.scores(asked, retrieved, rows, allowed=self._allowed(barred, None))

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

    def _allowed(self, excluded: Ints, categories: tuple[str, ...] | None) -> npt.NDArray[np.bool_]:
        allowed = ~self.is_hidden
        allowed[excluded] = False
        if categories is not None:
            chosen = np.zeros_like(allowed)
            chosen[self._rows_of(categories)] = True
            allowed &= chosen
        return allowed

    def _rows_of(self, categories: tuple[str, ...]) -> Ints:
        none = np.empty(0, dtype=np.int64)
        held = [self.categories.get(name, none) for name in categories]
        return np.unique(np.concatenate([none, *held]))

    def _best_of(self, query: Floats, rows: Ints, *, k: int, excluded: Ints) -> Retrieved:
        """Exactly, over few rows; ties go to the lower row."""
        rows = rows[~self.is_hidden[rows] & ~np.isin(rows, excluded)]
        scores = self.candidate_embeddings[rows] @ query
        order = np.argsort(-scores, kind="stable")[:k]
        return rows[order], scores[order]


def _filled(rows: Ints, scores: Floats) -> Retrieved:
    """Without the -1 at the end, where there is any."""
    if len(rows) and rows.item(-1) >= 0:
        return rows, scores
    n = int(np.count_nonzero(rows >= 0))
    return rows[:n], scores[:n]


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
