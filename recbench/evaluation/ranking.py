"""Full-ranking metrics of given lists: by user, by group, with intervals.

Gain 0 or 1, discount 1 / log2(rank + 1), ideal from min(k, relevant); recall divides by all
relevant items. Users with nothing relevant are left out and counted; users without a list count 0.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.evaluation.checks import check_recommendations, clicked_pairs
from recbench.evaluation.exposure import coverage, exposure_gini, novelty
from recbench.evaluation.intervals import RESAMPLES, Interval, bootstrap_mean, bootstrap_means

__all__ = ["RankingResult", "evaluate", "paired_difference"]

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

    @property
    def metrics(self) -> list[str]:
        """Their names at this k, such as "ndcg@20"."""
        return [f"{name}@{self.k}" for name in METRICS]

    def values(self, metric: str, group: str = "all") -> pl.Series:
        """One value a user of the group, in the order of user ids."""
        if metric not in self.metrics:
            raise InputError(f"`metric` must be one of {self.metrics}, got {metric!r}")
        return _group(self.by_user, group)[metric]

    def interval(self, metric: str, group: str = "all") -> Interval | None:
        """The mean over the group's users with its interval; None where the group is empty."""
        values = self.values(metric, group).to_numpy()
        if not len(values):
            return None
        return bootstrap_mean(values, seed=self.seed, resamples=self.resamples)

    def to_json(self) -> dict[str, Any]:
        """``{"ndcg@20": {"all": {"value", "low", "high", "n_users"}, …}, …}``."""
        figures: dict[str, Any] = {metric: {} for metric in self.metrics}
        for group, metric, interval in self._intervals():
            figures[metric][group] = asdict(interval)
        return figures | self.lists | self.left_out

    def table(self) -> pl.DataFrame:
        """One row a group and metric, with the bounds of its interval."""
        return pl.DataFrame(
            [
                {"users": group, "metric": metric} | asdict(interval)
                for group, metric, interval in self._intervals()
            ]
        )

    def _intervals(self) -> Iterator[tuple[str, str, Interval]]:
        """Group, metric and interval; the metrics of a group share one draw of resamples."""
        for group in GROUPS:
            values = _group(self.by_user, group).select(self.metrics).to_numpy()
            if len(values):
                means = bootstrap_means(values, seed=self.seed, resamples=self.resamples)
                yield from ((group, *each) for each in zip(self.metrics, means, strict=True))


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

    The catalogue that coverage, novelty and the Gini speak of is every item that occurs in any of
    the frames, clicked or not.

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
    fitted, tested = clicked_pairs(train, source="train"), clicked_pairs(test, source="test")
    masked = fitted if seen is None else pl.concat([fitted, clicked_pairs(seen, source="seen")])
    lists = recommendations.select(pl.col(PAIR).cast(pl.Int64), c.RANK)
    wanted = tested.unique()
    relevant, kept = wanted, lists
    if not repeats:
        relevant, kept = (part.join(masked, on=PAIR, how="anti") for part in (wanted, lists))
    if not len(relevant):
        raise InputError(
            "No user of the test has a relevant item that was not seen before: of its "
            f"{len(wanted)} clicked pairs none is left"
        )
    judged = _judged(kept, relevant, k=k)
    by_user = _by_user(judged, relevant, k=k).with_columns(
        pl.col(c.USER_ID).is_in(fitted[c.USER_ID].unique().implode()).alias(KNOWN)
    )
    left_out = {
        "n_users_without_relevant": wanted[c.USER_ID].n_unique() - len(by_user),
        "n_users_without_list": int((by_user["n_recommended"] == 0).sum()),
        "n_repeats_dropped": len(lists) - len(kept),
    }
    n_items = _n_items(recommendations, train, test, *([] if seen is None else [seen]))
    of_lists = _of_lists(judged, fitted, n_items=n_items, k=k)
    return RankingResult(k, by_user.sort(c.USER_ID), of_lists, left_out, seed, resamples)


def paired_difference(
    a: RankingResult, b: RankingResult, *, metric: str, group: str = "all"
) -> Interval:
    """Mean of ``a - b`` over the same users, with its interval by the resamples of ``a``.

    Raises:
        InputError: the two were not evaluated on the same users or at the same ``k``, or the
            group is empty.
    """
    left, right = a.values(metric, group), b.values(metric, group)
    users, others = (_group(result.by_user, group)[c.USER_ID] for result in (a, b))
    if not users.equals(others):
        raise InputError(
            f"A paired difference needs the same users: {len(users)} against {len(others)} in "
            f"group {group!r}"
        )
    return bootstrap_mean((left - right).to_numpy(), seed=a.seed, resamples=a.resamples)


def _judged(lists: pl.DataFrame, relevant: pl.DataFrame, *, k: int) -> pl.DataFrame:
    """The lists of users with something relevant: gaps in the ranks closed, then the first k."""
    users = relevant.select(c.USER_ID).unique()
    closed = pl.col(c.RANK).rank("ordinal").over(c.USER_ID).cast(pl.Int64).alias(c.RANK)
    kept = lists.join(users, on=c.USER_ID, how="semi").with_columns(closed)
    return kept.filter(pl.col(c.RANK) <= k)


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


def _n_items(*frames: pl.DataFrame) -> int:
    return pl.concat([frame[c.ITEM_ID].cast(pl.Int64) for frame in frames]).n_unique()


def _group(by_user: pl.DataFrame, group: str) -> pl.DataFrame:
    if group not in GROUPS:
        raise InputError(f"`group` must be one of {GROUPS}, got {group!r}")
    if group == "all":
        return by_user
    return by_user.filter(pl.col(KNOWN) == (group == "known"))
