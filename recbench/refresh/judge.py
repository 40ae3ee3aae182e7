"""Two models before the same requests: what was learned, forgotten and moved."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.exam import Exam
from recbench.evaluation.recommender import recommend
from recbench.features.batch import Engine, window_lookup
from recbench.features.definitions import Feature
from recbench.features.running_popularity import RunningPopularity
from recbench.index.exact import top_k
from recbench.models.candidate_features import CandidateSnapshots
from recbench.models.frozen import NOTHING, Rows, TwoTowerRecommender, WindowLookup
from recbench.models.two_tower import TwoTower
from recbench.refresh.advance import EventsOf
from recbench.refresh.gate import Paired
from recbench.refresh.replay import Exemplars
from recbench.refresh.state import LearnedState
from recbench.tables.log import Protocol
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Judge", "drift_between", "paired", "recommender_of"]

FEWEST_HITS = 5  # below, hits say nothing of calibration
Floats = npt.NDArray[np.float64]


def recommender_of(
    towers: TwoTower,
    items: Vocabulary,
    popularity: RunningPopularity,
    window_features: WindowLookup,
    *,
    history_length: int,
    hidden: Rows = NOTHING,
) -> TwoTowerRecommender:
    """The towers with every candidate as of the instant of ``popularity``."""
    snapshot = CandidateSnapshots([popularity]).at(popularity.at, np.arange(len(items)))
    return TwoTowerRecommender.freeze(
        towers,
        items,
        snapshot,
        history_length=history_length,
        window_features=window_features,
        hidden=hidden,
    )


def drift_between(before: TwoTowerRecommender, after: TwoTowerRecommender) -> float:
    """1 - mean cosine of the taste vectors of the items that both have, after the best rotation.

    Both towers may turn together without any score changing, so that is not counted.

    Source: Schönemann, "A generalized solution of the orthogonal Procrustes problem", 1966.
    """
    n = min(len(before.items), len(after.items))
    width = before.candidate_embeddings.shape[1] - 2  # unit vectors, then prior and popularity
    ours, theirs = (m.candidate_embeddings[:n, :width] for m in (before, after))
    alike = np.linalg.svd(ours.T @ theirs, compute_uv=False).sum()
    return float(max(0.0, 1.0 - alike / n))


@dataclass(frozen=True, slots=True)
class Judge:
    """How models are judged: by NDCG of a user, or of a request within a session."""

    protocol: Protocol
    window_features: Sequence[Feature]
    history_length: int
    k: int = 20
    engine: Engine = "cpu"

    def exam(
        self, past: pl.DataFrame, test: pl.DataFrame, *, at: int, items: Vocabulary
    ) -> Exam | None:
        """What the test asks, once for each user; None where it asks nothing.

        Args:
            past: events before ``at``, of the test's users at least.
            test: the clicks to be found, and under ``next_in_session`` what precedes them.
            at: microseconds since the epoch.
            items: the catalogue.
        """
        if not len(test):
            return None
        try:
            return Exam.of(
                protocol=self.protocol, past=past, test=test, at=at, items=items, k=self.k
            )
        except InputError:  # no session has a second event
            return None

    def models(
        self,
        several: Sequence[TwoTower],
        items: Vocabulary,
        popularity: RunningPopularity,
        events: pl.DataFrame,
        *,
        hidden: Sequence[Rows] | None = None,
    ) -> list[TwoTowerRecommender]:
        """Recommenders that differ by their towers, and by what each hides.

        Args:
            several: one a recommender.
            items: the catalogue of all.
            popularity: of their candidates.
            events: give window features.
            hidden: item rows that each does not recommend; default: none.
        """
        window = window_lookup(events, self.window_features, engine=self.engine)
        length, nothing = self.history_length, [NOTHING] * len(several)
        return [
            recommender_of(towers, items, popularity, window, history_length=length, hidden=rows)
            for towers, rows in zip(several, hidden or nothing, strict=True)
        ]

    def values(self, model: TwoTowerRecommender, exam: Exam | None) -> Floats:
        """NDCG of each user of the exam, in an order that is the exam's."""
        if exam is None:
            return np.zeros(0)
        try:
            graded = exam.grade(model, resamples=0)
        except InputError:  # all they clicked they knew before
            return np.zeros(0)
        return graded.values(f"ndcg@{self.k}").to_numpy()

    def older(
        self,
        towers: Sequence[TwoTower],
        state: LearnedState,
        past: EventsOf,
        trained: Exemplars,
        *,
        most: int = 2_000,
    ) -> list[Floats]:
        """NDCG of users of earlier windows under each towers, as of their windows' starts.

        Those whom this refresh has learned from are left out.

        Args:
            towers: of one catalogue, that of ``state``.
            state: its pool and kept popularity.
            past: gives the events of users before ``state.at``.
            trained: whom this refresh has learned from, and as of when.
            most: users at most.
        """
        found: list[list[Floats]] = [[] for _ in towers]
        asked = [
            _untrained(state.pool, trained, at=popularity.at)[: most // len(state.kept)]
            for popularity in state.kept
        ]
        ends = [popularity.at for popularity in state.kept[1:]] + [state.popularity.at]
        events = past(pl.Series(c.USER_ID, np.concatenate([*asked, np.empty(0, dtype=np.int64)])))
        for popularity, end, users in zip(state.kept, ends, asked, strict=True):
            theirs = events.filter(pl.col(c.USER_ID).is_in(pl.Series(users).implode()))
            ts = theirs[c.TS].dt.epoch("us")
            known = theirs.filter(ts < popularity.at)
            test = theirs.filter((ts >= popularity.at) & (ts < end))
            exam = self.exam(known, test, at=popularity.at, items=state.items)
            for values, model in zip(
                found, self.models(towers, state.items, popularity, theirs), strict=True
            ):
                values.append(self.values(model, exam))
        return [np.concatenate([np.zeros(0), *values]) for values in found]

    def promised_over_seen(self, model: TwoTowerRecommender, exam: Exam | None) -> float | None:
        """Hits that the softmax over the catalogue promises in the lists, over those there are.

        None where there are too few to tell.
        """
        if exam is None:
            return None
        pairs = exam.test.select(c.USER_ID, c.ITEM_ID).unique()
        scores = model.score_items(exam.queries).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        chance = np.exp(scores)
        chance /= chance.sum(axis=1, keepdims=True)
        rows, _ = top_k(scores.astype(np.float32), k=self.k, excluded=None)
        promised = float(np.take_along_axis(chance, rows, axis=1).sum())
        listed = pl.DataFrame(
            {
                c.USER_ID: np.repeat(exam.queries.user_ids, rows.shape[1]),
                c.ITEM_ID: model.items.ids[rows.ravel()],
            }
        )
        seen = len(listed.join(pairs, on=[c.USER_ID, c.ITEM_ID], how="semi"))
        return promised / seen if seen >= FEWEST_HITS else None

    def hits_of_new(self, model: TwoTowerRecommender, exam: Exam | None, *, n_old: int) -> Floats:
        """1 for each click on an item from row ``n_old`` on that is in its list, else 0."""
        if exam is None:
            return np.zeros(0)
        pairs = exam.test.select(c.USER_ID, c.ITEM_ID).unique(maintain_order=True)
        new = pairs.filter(pl.Series(model.items.rows(pairs[c.ITEM_ID]) >= n_old))
        asked = exam.queries.take(np.isin(exam.queries.user_ids, new[c.USER_ID].to_numpy()))
        listed = recommend(model, asked, k=self.k, repeats=exam.repeats)
        hit = new.join(
            listed.select(c.USER_ID, c.ITEM_ID, pl.lit(1.0).alias("hit")),
            on=[c.USER_ID, c.ITEM_ID],
            how="left",
            maintain_order="left",
        )
        return hit["hit"].fill_null(0.0).to_numpy()


def _untrained(pool: Exemplars, trained: Exemplars, *, at: int) -> npt.NDArray[np.int64]:
    """The pool's users of one instant that were not learned from as of then."""
    own = pool.user_ids[pool.at == at]
    return np.setdiff1d(own, trained.user_ids[trained.at == at])


def paired(own: Floats, other: Floats) -> Paired | None:
    """Both models' values of the same users; None without any."""
    return Paired.of(own, other) if len(own) else None
