"""What a ranker is told of an item, of who asks, and of the two together, as of an instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.features.running_popularity import RunningPopularity
from recbench.models.content import TokenField
from recbench.models.ranking.candidates import Candidates
from recbench.models.ranking.years import ItemYears
from recbench.tables.queries import InteractionLog, Queries

__all__ = ["RankingFeatures"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

DAY_US = 86_400e6
FLOOR = 1e-2  # clicks; keeps the logarithm of no clicks finite
N_COUNTS = 2  # longest half-lives that are told as counts, too: short ones would date a list
NEW_DAYS = 7.0  # an item is new for so long
NEVER_DAYS = 1_000.0  # since an event that never was
TASTE_HALF_LIFE_S = 30 * 86_400.0
AUDIENCE_HALF_LIFE_S = 8 * 86_400.0

USER_NAMES = (
    "history length",
    "since last event",
    "since first event",
    "age of items when taken",
    "the same, lately",
    "share of new items",
    "popularity of items",
)
PAIR_NAMES = ("times taken", "since taken", "taken lately", "category", "category of last item")


@dataclass(frozen=True, slots=True, eq=False)
class RankingFeatures:
    """Item facts as of an instant; with queries and candidates they become features."""

    facts: Floats  # (n_items, I) of each item
    first_ts: Ints  # (n_items,) its first click, as of the instant
    log_popularity: Floats  # (n_items,) over all time, relative to the largest
    categories: sparse.csr_matrix  # (n_items, T) unit rows
    common: Floats  # (T,) the mean over all clicks
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        log: InteractionLog,
        *,
        at: int,
        half_lives_s: Sequence[float],
        category: TokenField,
        retrievers: Sequence[str],
        years: ItemYears | None = None,
    ) -> Self:
        """From the clicks of ``log`` strictly before ``at``.

        Args:
            log: the clicks.
            at: microseconds since the epoch.
            half_lives_s: of the items' popularity; ``inf`` is always among the features, too.
            category: of each item; no tokens, then the pair's features on it are 0.
            retrievers: names of the candidates' scores, in their order.
            years: of the items; nothing is told of them where none is known.
        """
        held = RunningPopularity.of(log, at=at, half_lives_s=(*half_lives_s, np.inf))
        before = log.ts < at
        last_ts = np.full(len(log.items), -1)
        np.maximum.at(last_ts, log.item_rows[before], log.ts[before])
        facts, relative = _item_facts(held, last_ts)
        facts = np.concatenate([facts, _audience(log, at=at)[:, None]], axis=1)
        dated = years is not None and years.are_known
        if years is not None and dated:
            facts = np.concatenate([facts, years.facts(at=at, clicked=last_ts >= 0)], axis=1)
        categories = _unit_rows(category)
        clicked = categories[log.item_rows[before]]
        common = np.asarray(clicked.sum(axis=0)).ravel() / max(1, clicked.shape[0])
        spans = [_span(half_life_s) for half_life_s in (*half_lives_s, np.inf)]
        names = [
            *(f"popularity, {span}, share" for span in spans),
            *(f"popularity, {span}, clicks" for span in spans[-N_COUNTS:]),
            "age",
            "since last click",
            "never clicked",
            "experience of who took it",
            *(ItemYears.NAMES if dated else ()),
            *USER_NAMES,
            *PAIR_NAMES,
            *(f"popularity, {span}, {kind}" for kind in ("of list", "rank") for span in spans),
            *(f"{name}, {kind}" for name in retrievers for kind in ("score", "share", "rank")),
        ]
        return cls(
            facts, held.first_ts, relative, categories, common.astype(np.float32), tuple(names)
        )

    def __call__(self, queries: Queries, candidates: Candidates) -> Floats:
        """(Q, C, F) float32; 0 where there is no candidate."""
        rows = np.maximum(candidates.rows, 0)
        shape = rows.shape
        of_user = np.broadcast_to(self._of_users(queries)[:, None], (*shape, len(USER_NAMES)))
        facts, held = self.facts[rows], candidates.held
        parts = [facts, of_user, self._of_pairs(queries, rows)]
        parts += _within_list(np.exp(facts[..., : self._n_spans]), held)
        parts.append(_of_scores(candidates))
        features = np.concatenate(parts, axis=-1, dtype=np.float32)
        features[~held] = 0.0
        return features

    @property
    def _n_spans(self) -> int:
        """H + 1 half-lives: each has one fact of this kind."""
        return sum(
            name.startswith("popularity, ") and name.endswith(", rank") for name in self.names
        )

    def _of_users(self, queries: Queries) -> Floats:
        """(Q, 7)."""
        owner, at = queries.events()
        log, n = queries.log, len(queries)
        rows, ts = log.item_rows[at], log.ts[at]
        lengths = np.maximum(queries.lengths, 1)
        age = np.log1p(np.maximum(ts - np.minimum(self.first_ts[rows], ts), 0) / DAY_US)
        lately = np.exp2(-(queries.ts[owner] - ts) / (TASTE_HALF_LIFE_S * 1e6)) + 1e-6

        def mean(
            values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64] | None = None
        ) -> npt.NDArray[np.float64]:
            if weight is None:
                return np.bincount(owner, weights=values, minlength=n) / lengths
            total = np.bincount(owner, weights=weight, minlength=n)
            return np.bincount(owner, weights=values * weight, minlength=n) / np.maximum(
                total, 1e-9
            )

        known = queries.is_known
        ends = np.full((2, n), np.int64(NEVER_DAYS * DAY_US))
        ends[0, known] = (queries.ts - log.ts[np.maximum(queries.ends - 1, 0)])[known]
        ends[1, known] = (queries.ts - log.ts[np.minimum(queries.starts, len(log) - 1)])[known]
        columns = [
            np.log1p(queries.lengths),
            *np.log1p(np.maximum(ends, 0) / DAY_US * 24.0),
            mean(age),
            mean(age, lately),
            mean((age < np.log1p(NEW_DAYS)).astype(np.float64)),
            mean(self.log_popularity[rows].astype(np.float64)),
        ]
        return np.column_stack(columns).astype(np.float32)

    def _of_pairs(self, queries: Queries, rows: Ints) -> Floats:
        """(Q, C, 5)."""
        owner, at = queries.events()
        log, n, n_items = queries.log, len(queries), len(self.facts)
        taken = log.item_rows[at]
        times = np.zeros((n, n_items), dtype=np.float32)
        np.add.at(times, (owner, taken), 1.0)
        last = np.full((n, n_items), np.log1p(NEVER_DAYS * 24.0), dtype=np.float32)
        last[owner, taken] = np.log1p(
            (queries.ts[owner] - log.ts[at]) / DAY_US * 24.0
        )  # oldest first
        lately = queries.decayed_matrix(TASTE_HALF_LIFE_S).toarray()
        profile = np.zeros((2, n, self.categories.shape[1]), dtype=np.float32)
        profile[0] = (queries.decayed_matrix(np.inf) @ self.categories).toarray()
        profile[0] = profile[0] / np.maximum(queries.lengths, 1)[:, None] - self.common
        known = queries.is_known
        newest = log.item_rows[queries.ends[known] - 1]
        profile[1, known] = self.categories[newest].toarray()
        of_candidates = (
            self.categories[rows.ravel()].toarray().reshape(*rows.shape, self.categories.shape[1])
        )
        match = np.einsum("kqt,qct->qck", profile, of_candidates)
        looked_up = [np.take_along_axis(each, rows, axis=1) for each in (times, last, lately)]
        columns = [np.log1p(looked_up[0]), looked_up[1], np.log1p(looked_up[2])]
        return np.concatenate([np.stack(columns, axis=-1), match], axis=-1, dtype=np.float32)


def _item_facts(held: RunningPopularity, last_ts: Ints) -> tuple[Floats, Floats]:
    """(n_items, H + 5) facts, and (n_items,) the log popularity of all time, relative."""
    log_popularity = np.log(held.values + FLOOR)
    relative = log_popularity - log_popularity.max(axis=0, initial=np.log(FLOOR))
    age_us = held.age_us(np.arange(len(last_ts)), held.at)
    since_us = np.where(last_ts >= 0, held.at - last_ts, NEVER_DAYS * DAY_US)
    times = np.log1p(np.column_stack([np.maximum(age_us, 0), since_us]) / DAY_US * 24.0)
    facts = np.column_stack([relative, log_popularity[:, -N_COUNTS:], times, age_us < 0])
    return facts.astype(np.float32), relative[:, -1].astype(np.float32)


def _audience(log: InteractionLog, *, at: int) -> Floats:
    """(n_items,) how long the histories of those were who clicked it lately, against all clicks.

    The mean logarithm, drawn to 0 by one click of the mean: who tells of an item before most can
    have it tells more of its future than how many these are.
    """
    (before,) = np.nonzero(log.ts < at)
    rows, ts = log.item_rows[before], log.ts[before]
    place = before - np.searchsorted(log.user_rows, log.user_rows[before])  # in the user's history
    weight = np.exp2((ts - at) / (AUDIENCE_HALF_LIFE_S * 1e6))
    length = np.log1p(place)
    mean = np.average(length, weights=weight) if weight.sum() > 0 else 0.0
    n = len(log.items)
    total = np.bincount(rows, weights=weight * (length - mean), minlength=n)
    shrunk = total / (np.bincount(rows, weights=weight, minlength=n) + 1.0)
    return shrunk.astype(np.float32)


def _unit_rows(field: TokenField) -> sparse.csr_matrix:
    item, place = np.nonzero(field.token_rows)
    token = field.token_rows[item, place] - 1
    held = np.bincount(item, minlength=len(field.token_rows))
    weight = 1.0 / np.sqrt(held[item])
    shape = (len(field.token_rows), max(1, len(field.tokens)))
    return sparse.csr_matrix((weight.astype(np.float32), (item, token)), shape=shape)


def _of_scores(candidates: Candidates) -> Floats:
    """(Q, C, 3 R): each retriever's score, its share of the query's largest, its log rank."""
    scores = candidates.scores
    share, rank = _within_list(scores, candidates.held)
    features = np.stack([scores, share, rank], axis=-1)  # (Q, C, R, 3)
    return features.reshape(*scores.shape[:2], 3 * scores.shape[2]).astype(np.float32)


def _within_list(values: Floats, held: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(Q, C, N) each, of (Q, C, N) values: shares of the list's largest, log ranks from 0."""
    largest = np.where(held[..., None], values, 0.0).max(axis=1, keepdims=True, initial=0.0)
    share = values / np.where(largest > 0, largest, 1.0)
    below = np.where(held[..., None], -values, np.inf)
    rank = np.argsort(np.argsort(below, axis=1, kind="stable"), axis=1, kind="stable")
    return share.astype(np.float32), np.log1p(rank).astype(np.float32)


def _span(half_life_s: float) -> str:
    return "all time" if half_life_s == np.inf else f"{half_life_s / 86_400:g} d"
