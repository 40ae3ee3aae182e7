"""A release that answers: lists for users, scores for pairs."""

from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.recommender import as_frame
from recbench.features.batch import window_lookup
from recbench.features.history import padded_histories
from recbench.index.exact import ExactIndex
from recbench.refresh.contents import Contents
from recbench.refresh.registry import Release
from recbench.runtime.onnx import OnnxQueryTower
from recbench.serving.ranker import ReleasedRanker
from recbench.tables.queries import InteractionLog, Queries
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ReleasedRecommender", "require_user_ids"]

USERS_PER_BATCH = 256

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class ReleasedRecommender:
    """The towers, index, histories and features of one release, bound together.

    Users without history get the release's recency-popularity list. With a ranker all others get
    its order and scores, as `recbench serve` gives them.
    """

    def __init__(
        self,
        contents: Contents,
        tower: OnnxQueryTower,
        *,
        repeats: bool,
        ranker: ReleasedRanker | None = None,
    ) -> None:
        """``repeats``: whether lists may hold items of the history, by the data's protocol."""
        self.contents = contents
        self.tower = tower
        self.repeats = repeats
        self.ranker = ranker
        self.index = ExactIndex(contents.candidate_embeddings, contents.tombstones)
        self.log = InteractionLog.from_events(contents.interactions, items=contents.items)
        self._window_features = window_lookup(contents.interactions, contents.window_features)

    @classmethod
    def load(cls, release: Release, *, ranked: bool = True) -> Self:
        """From the files of a release; ``ranked``: with its ranker, where it has one."""
        contents = Contents.read(release)
        tower = OnnxQueryTower(release.path("query_tower.onnx"), n_items=len(contents.items))
        repeats = release.manifest.protocol != "masked"
        ranker = ReleasedRanker.load(release, contents.items) if ranked else None
        return cls(contents, tower, repeats=repeats, ranker=ranker)

    @property
    def items(self) -> Vocabulary:
        """The catalogue."""
        return self.contents.items

    @property
    def users(self) -> Vocabulary:
        """Users with a history."""
        return self.log.users

    def queries(
        self, user_ids: npt.NDArray[np.int64], ts: npt.NDArray[np.int64] | None = None
    ) -> Queries:
        """Requests of users, with all their history before ``ts``; default: after the watermark."""
        return self.log.queries(user_ids, self.contents.watermark_us + 1 if ts is None else ts)

    def query_embeddings(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, D)."""
        histories = padded_histories(queries, length=self.contents.history_length)
        window = self._window_features(queries.user_ids, queries.ts)
        return self.tower(histories.item_rows, histories.age_s, histories.watch_ratio, window)

    def score_items(self, queries: Queries) -> npt.NDArray[np.float32]:
        """(Q, n_items), as every `Recommender`; -inf for tombstoned items."""
        scores = self.query_embeddings(queries) @ self.contents.candidate_embeddings.T
        scores[:, self.contents.tombstones] = -np.inf
        return scores

    def recommend(
        self,
        user_ids: npt.NDArray[np.int64],
        *,
        k: int = 20,
        repeats: bool | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> pl.DataFrame:
        """``user_id, item_id, rank, score``: each user's k best items as of the watermark.

        Args:
            user_ids: (U,) known or not.
            k: list length; shorter lists only where the catalogue runs out.
            repeats: whether items of the history may be shown; default: by the data's protocol.
            on_batch: told the number of users answered, for progress.
        """
        repeats = self.repeats if repeats is None else repeats
        frames = [pl.DataFrame(schema=c.RECOMMENDATION_DTYPES)]
        for start in range(0, len(user_ids), USERS_PER_BATCH):
            queries = self.queries(user_ids[start : start + USERS_PER_BATCH])
            seen = queries.matrix().tocoo()
            excluded = None if repeats else (seen.row.astype(np.int64), seen.col.astype(np.int64))
            depth = k if self.ranker is None else max(k, self.ranker.n_retrieved)
            embedded = self.query_embeddings(queries)
            rows, scores = self.index.search(embedded, k=depth, excluded=excluded)
            if self.ranker is not None:
                rows, scores = self._ranked(queries, rows, scores, k=k, repeats=repeats)
            frames.append(as_frame(queries.user_ids, rows, scores, items=self.items))
            if on_batch is not None:
                on_batch(len(queries))
        return pl.concat(frames)

    def score(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """``pairs`` with a column ``score``: as a request of this user at that time scores it.

        Args:
            pairs: ``user_id, item_id, ts``; the history is what was clicked strictly before.

        Returns:
            The same rows in the same order; a null score where the item is not in the catalogue.
        """
        item_rows = self.items.rows(pairs[c.ITEM_ID])
        user_ids, ts = pairs[c.USER_ID].to_numpy(), pairs[c.TS].dt.epoch("us").to_numpy()
        scores = np.empty(len(pairs), dtype=np.float32)
        for start in range(0, len(pairs), USERS_PER_BATCH):
            part = slice(start, start + USERS_PER_BATCH)
            embedded = self.query_embeddings(self.queries(user_ids[part], ts[part]))
            candidates = self.contents.candidate_embeddings[np.maximum(item_rows[part], 0)]
            scores[part] = np.einsum("qd,qd->q", embedded, candidates)
        if self.ranker is not None:
            self._rank_pairs(user_ids, ts, item_rows, scores)
        known = pl.Series(item_rows >= 0)
        column = pl.Series(c.SCORE, scores).to_frame().select(pl.when(known).then(c.SCORE))
        return pairs.with_columns(column[c.SCORE].alias(c.SCORE))

    def _ranked(
        self, queries: Queries, rows: Ints, scores: Floats, *, k: int, repeats: bool
    ) -> tuple[Ints, Floats]:
        """(Q, k) in the ranker's order; as retrieved for who has no history; -1 where it ends."""
        assert self.ranker is not None
        best = np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, np.float32)
        for at in range(len(queries)):
            one, found = queries.take(slice(at, at + 1)), rows[at][rows[at] >= 0]
            own = found, scores[at, : len(found)]
            if one.is_known[0]:
                allowed = self._allowed(one, repeats=repeats)
                own = self.ranker.best(one, own, allowed=allowed, k=k)
            n = min(k, len(own[0]))
            best[0][at, :n], best[1][at, :n] = own[0][:n], own[1][:n]
        return best

    def _rank_pairs(self, user_ids: Ints, ts: Ints, item_rows: Ints, scores: Floats) -> None:
        """The ranker's scores in place: pairs of one user and instant are one request."""
        assert self.ranker is not None
        order = np.lexsort((ts, user_ids))
        ends = np.flatnonzero(np.diff(user_ids[order]) | np.diff(ts[order])) + 1
        for pairs in np.split(order, ends):
            held = pairs[item_rows[pairs] >= 0]
            if not len(held):
                continue
            one = self.queries(user_ids[held[:1]], ts[held[:1]])
            if not one.is_known[0]:
                continue
            allowed = self._allowed(one, repeats=self.repeats)
            barred = np.flatnonzero(~allowed)
            embedded = self.query_embeddings(one)
            (found,), _ = self.index.search(
                embedded, k=self.ranker.n_retrieved, excluded=(np.zeros_like(barred), barred)
            )
            found = found[found >= 0]
            scores[held] = self.ranker.scores(one, found, item_rows[held], allowed=allowed)

    def _allowed(self, one: Queries, *, repeats: bool) -> npt.NDArray[np.bool_]:
        """(n_items,) what may be shown to whom one query is of."""
        allowed = np.ones(len(self.items), dtype=bool)
        allowed[self.contents.tombstones] = False
        if not repeats:
            allowed[one.log.item_rows[one.starts[0] : one.ends[0]]] = False
        return allowed


def require_user_ids(frame: pl.DataFrame, *, source: str) -> npt.NDArray[np.int64]:
    """The distinct ids of column ``user_id``, in the order of their first row.

    Raises:
        InputError: no such column, no rows, nulls, or no whole numbers within int64.
    """
    if c.USER_ID not in frame.columns:
        raise InputError(f"{source} lacks the column `{c.USER_ID}`; it has {frame.columns}")
    if not len(frame):
        raise InputError(f"{source} holds no users")
    try:
        distinct = Vocabulary(frame[c.USER_ID].unique(maintain_order=True))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return distinct.ids
