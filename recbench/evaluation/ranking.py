"""Full-ranking metrics of given lists: by user, by group, with intervals.

Gain 0 or 1, discount 1 / log2(rank + 1), ideal from min(k, relevant); recall divides by all
relevant items. Users with nothing relevant are left out and counted; users without a list count 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.exposure import coverage, exposure_gini, novelty
from recbench.evaluation.intervals import RESAMPLES, Interval, bootstrap_mean

__all__ = ["RankingResult", "check_recommendations", "evaluate", "paired_difference"]

METRICS = ("ndcg", "recall", "precision", "mrr", "hit_rate")
GROUPS = ("all", "known", "unknown")
KNOWN = "known"
PAIR = [c.USER_ID, c.ITEM_ID]


@dataclass(frozen=True, slots=True, eq=False)
class RankingResult:
    """Metrics of one model on one test."""

    k: int
    by_user: pl.DataFrame  # user_id, known, n_relevant and one column a metric, as "ndcg@20"
    lists: dict[str, float]  # coverage, novelty, exposure Gini
    left_out: dict[str, int]  # what was not counted, by reason
    seed: int = 0
    resamples: int = RESAMPLES

    def values(self, metric: str, group: str = "all") -> pl.Series:
        """One value a user of the group, in the order of user ids."""
        return _group(self.by_user, group)[metric]

    def interval(self, metric: str, group: str = "all") -> Interval | None:
        """The mean over the group's users with its interval; None where the group is empty."""
        values = self.values(metric, group).to_numpy()
        if not len(values):
            return None
        return bootstrap_mean(values, seed=self.seed, resamples=self.resamples)

    def to_json(self) -> dict[str, Any]:
        """``{"ndcg@20": {"all": {"value", "low", "high", "n_users"}, …}, …}``."""
        figures: dict[str, Any] = {}
        for metric in (f"{name}@{self.k}" for name in METRICS):
            figures[metric] = {
                group: {
                    "value": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "n_users": interval.n_users,
                }
                for group in GROUPS
                if (interval := self.interval(metric, group)) is not None
            }
        return figures | self.lists | self.left_out

    def table(self) -> pl.DataFrame:
        """One row a group and metric, with the bounds of its interval."""
        rows = []
        for group in GROUPS:
            for metric in (f"{name}@{self.k}" for name in METRICS):
                interval = self.interval(metric, group)
                if interval is not None:
                    rows.append(
                        {
                            "users": group,
                            "metric": metric,
                            "value": interval.value,
                            "low": interval.low,
                            "high": interval.high,
                            "n_users": interval.n_users,
                        }
                    )
        return pl.DataFrame(rows)


def evaluate(
    recommendations: pl.DataFrame,
    *,
    train: pl.DataFrame,
    test: pl.DataFrame,
    seen: pl.DataFrame | None = None,
    repeats: bool = False,
    k: int = 20,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> RankingResult:
    """How well lists find what users clicked afterwards.

    Args:
        recommendations: ``user_id, item_id, rank``; ranks beyond ``k`` are not used.
        train: events that make a user known, and items popular.
        test: events; a user's relevant items are those clicked here.
        seen: further events whose items are masked; they make nobody known.
        repeats: whether an item of train or seen may be relevant and recommended again; if not,
            such pairs leave both sides and the list closes up.
        k: list length.
        seed: of the bootstrap.
        resamples: of the bootstrap; 0 for means only.

    Raises:
        InputError: malformed recommendations or events, ``k`` below 1, or nobody to evaluate.
    """
    if k < 1:
        raise InputError(f"`k` must be at least 1, got {k}")
    check_recommendations(recommendations)
    fitted, tested = _clicked(train, source="train"), _clicked(test, source="test")
    before = fitted if seen is None else pl.concat([fitted, _clicked(seen, source="seen")])
    relevant = tested.unique()
    users = relevant[c.USER_ID].n_unique()
    lists = recommendations.select(pl.col(PAIR).cast(pl.Int64), c.RANK)
    n_items = pl.concat([frame[c.ITEM_ID] for frame in (before, tested, lists)]).n_unique()
    dropped = 0
    if not repeats:
        history = before.unique()
        relevant = relevant.join(history, on=PAIR, how="anti")
        kept = lists.join(history, on=PAIR, how="anti")
        dropped = len(lists) - len(kept)
        lists = kept.with_columns(
            pl.col(c.RANK).rank("ordinal").over(c.USER_ID).cast(pl.Int32).alias(c.RANK)
        )
    lists = lists.filter(pl.col(c.RANK) <= k).join(
        relevant.select(c.USER_ID).unique(), on=c.USER_ID, how="semi"
    )
    by_user = _by_user(lists, relevant, k=k)
    known = by_user[c.USER_ID].is_in(fitted[c.USER_ID].unique().implode())
    by_user = by_user.with_columns(known.alias(KNOWN)).sort(c.USER_ID)
    if not len(by_user):
        raise InputError("No user of the test has a relevant item that was not seen before")
    left_out = {
        "n_users_without_relevant": users - len(by_user),
        "n_users_without_list": int((by_user["n_recommended"] == 0).sum()),
        "n_repeats_dropped": dropped,
    }
    of_lists = _of_lists(lists, fitted, n_items=n_items, k=k)
    return RankingResult(k, by_user, of_lists, left_out, seed, resamples)


def paired_difference(
    a: RankingResult, b: RankingResult, *, metric: str, group: str = "all"
) -> Interval:
    """Mean of ``a - b`` over the same users, with its paired bootstrap interval.

    Raises:
        InputError: the two were not evaluated on the same users, or the group is empty.
    """
    left, right = _group(a.by_user, group), _group(b.by_user, group)
    if not left[c.USER_ID].equals(right[c.USER_ID]):
        raise InputError(
            f"A paired difference needs the same users: {len(left)} against {len(right)} in "
            f"group {group!r}"
        )
    difference = (left[metric] - right[metric]).to_numpy()
    return bootstrap_mean(difference, seed=a.seed, resamples=a.resamples)


def check_recommendations(recommendations: pl.DataFrame) -> None:
    """Nothing, if these are lists: known columns, no nulls, each item once, ranks from 1 on.

    Raises:
        InputError: they are not; the message names the first user concerned.
    """
    missing = [n for n in (*PAIR, c.RANK) if n not in recommendations.columns]
    if missing:
        raise InputError(f"Recommendations lack {missing}; they have {recommendations.columns}")
    for name in (*PAIR, c.RANK):
        _check_whole(recommendations[name], source="the recommendations")
    twice = recommendations.filter(pl.struct(PAIR).is_duplicated())
    if len(twice):
        raise InputError(
            f"User {twice[c.USER_ID][0]} is recommended item {twice[c.ITEM_ID][0]} twice"
        )
    ranks = recommendations.group_by(c.USER_ID).agg(
        pl.col(c.RANK).n_unique().alias("distinct"),
        pl.col(c.RANK).max().alias("last"),
        pl.col(c.RANK).min().alias("first"),
        pl.len().alias("n"),
    )
    bad = ranks.filter(
        (pl.col("distinct") != pl.col("n"))
        | (pl.col("last") != pl.col("n"))
        | (pl.col("first") != 1)
    )
    if len(bad):
        raise InputError(
            f"Ranks must be 1, 2, … in each list, but user {bad[c.USER_ID][0]} has "
            f"{bad['n'][0]} items with ranks {bad['first'][0]} to {bad['last'][0]}"
        )


def _clicked(events: pl.DataFrame, *, source: str) -> pl.DataFrame:
    """User and item of each click; a missing or null ``clicked`` is one."""
    missing = [name for name in PAIR if name not in events.columns]
    if missing:
        raise InputError(f"The events of {source} lack {missing}; they have {events.columns}")
    for name in PAIR:
        _check_whole(events[name], source=f"the events of {source}")
    if c.CLICKED in events.columns:
        events = events.filter(pl.col(c.CLICKED).cast(pl.Boolean).fill_null(True))
    return events.select(PAIR).cast(pl.Int64)


def _check_whole(column: pl.Series, *, source: str) -> None:
    if not column.dtype.is_integer() or column.null_count():
        raise InputError(
            f"`{column.name}` of {source} must be whole numbers without nulls, got "
            f"{column.dtype} with {column.null_count()} nulls"
        )
    if column.dtype in {pl.UInt64, pl.Int128} and column.cast(pl.Int64, strict=False).null_count():
        raise InputError(
            f"`{column.name}` of {source} must fit into int64, but {column.max()!r} does not"
        )


def _by_user(lists: pl.DataFrame, relevant: pl.DataFrame, *, k: int) -> pl.DataFrame:
    """One row a user with something relevant, with every metric."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = pl.Series(np.cumsum(discount))
    hit_rank = pl.col(c.RANK).cast(pl.Float64)
    hits = (
        lists.join(relevant, on=PAIR, how="semi")
        .group_by(c.USER_ID)
        .agg(
            pl.len().alias("hits"),
            (1 / (hit_rank + 1).log(2)).sum().alias("dcg"),
            (1 / hit_rank.min()).alias("first"),
        )
    )
    listed = lists.group_by(c.USER_ID).agg(pl.len().alias("n_recommended"))
    users = (
        relevant.group_by(c.USER_ID)
        .agg(pl.len().alias("n_relevant"))
        .join(hits, on=c.USER_ID, how="left")
        .join(listed, on=c.USER_ID, how="left")
        .fill_null(0)
    )
    best = ideal.gather((users["n_relevant"].clip(upper_bound=k) - 1).cast(pl.UInt32))
    return users.select(
        c.USER_ID,
        "n_relevant",
        "n_recommended",
        (pl.col("dcg") / best).alias(f"ndcg@{k}"),
        (pl.col("hits") / pl.col("n_relevant")).alias(f"recall@{k}"),
        (pl.col("hits") / k).alias(f"precision@{k}"),
        pl.col("first").cast(pl.Float64).alias(f"mrr@{k}"),
        (pl.col("hits") > 0).cast(pl.Float64).alias(f"hit_rate@{k}"),
    )


def _of_lists(
    lists: pl.DataFrame, train: pl.DataFrame, *, n_items: int, k: int
) -> dict[str, float]:
    if not len(lists):
        return {f"coverage@{k}": 0.0}
    return {
        f"coverage@{k}": coverage(lists, n_items=n_items),
        f"novelty@{k}": novelty(lists, train, n_items=n_items),
        f"exposure_gini@{k}": exposure_gini(lists, n_items=n_items),
    }


def _group(by_user: pl.DataFrame, group: str) -> pl.DataFrame:
    if group not in GROUPS:
        raise InputError(f"`group` must be one of {GROUPS}, got {group!r}")
    if group == "all":
        return by_user
    return by_user.filter(pl.col(KNOWN) == (group == "known"))
