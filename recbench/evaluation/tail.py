"""The long tail: who is shown there, what is found there, and lists that must hold some of it.

Items are put into ten groups of one size by their clicks before the test: decile 1 has the least
clicked tenth of the catalogue, and the lowest five are the tail.
"""

import math

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.tables.vocabulary import Vocabulary

__all__ = [
    "DECILE",
    "exposure_by_decile",
    "popularity_deciles",
    "tail_exposure",
    "tail_recall",
    "with_tail_share",
]

DECILE = "decile"
TAIL = 5  # the lowest deciles that are the tail
PAIR = [c.USER_ID, c.ITEM_ID]


def popularity_deciles(past: pl.DataFrame, items: Vocabulary) -> pl.DataFrame:
    """``item_id, decile``: 1 the least clicked tenth of ``items``; ties by item id.

    Args:
        past: events before the test; ``clicked`` may be absent, then every row counts.
        items: the catalogue.
    """
    clicks = past.filter(pl.col(c.CLICKED)) if c.CLICKED in past.columns else past
    counts = clicks.group_by(c.ITEM_ID).len()
    every = pl.DataFrame({c.ITEM_ID: items.ids}).join(counts, on=c.ITEM_ID, how="left")
    ordered = every.sort(pl.col("len").fill_null(0), c.ITEM_ID)
    decile = 1 + np.arange(len(ordered)) * 10 // max(1, len(ordered))
    return ordered.select(c.ITEM_ID, pl.Series(DECILE, decile))


def exposure_by_decile(lists: pl.DataFrame, deciles: pl.DataFrame) -> pl.DataFrame:
    """``decile, exposure_frac``: the share of all places in ``lists`` that each decile has."""
    shown = lists.join(deciles, on=c.ITEM_ID, how="inner").group_by(DECILE).len()
    every = pl.DataFrame({DECILE: np.arange(1, 11)}).join(shown, on=DECILE, how="left")
    share = pl.col("len").fill_null(0) / max(1, len(lists))
    return every.sort(DECILE).select(DECILE, share.alias("exposure_frac"))


def tail_exposure(lists: pl.DataFrame, deciles: pl.DataFrame) -> pl.DataFrame:
    """``user_id, tail_exposure``: the share of each list's places that the tail has.

    Args:
        lists: ``user_id, item_id``, each list cut to its length.
        deciles: of ``popularity_deciles``.
    """
    tail = deciles.filter(pl.col(DECILE) <= TAIL)[c.ITEM_ID]
    share = pl.col(c.ITEM_ID).is_in(tail.implode()).mean().alias("tail_exposure")
    return lists.group_by(c.USER_ID).agg(share).sort(c.USER_ID)


def tail_recall(lists: pl.DataFrame, relevant: pl.DataFrame, deciles: pl.DataFrame) -> pl.DataFrame:
    """``user_id, tail_recall``: of the relevant items in the tail, the share that the list holds.

    Only users with a relevant item in the tail.

    Args:
        lists: ``user_id, item_id``, each list cut to its length.
        relevant: ``user_id, item_id``.
        deciles: of ``popularity_deciles``.
    """
    tail = deciles.filter(pl.col(DECILE) <= TAIL)
    wanted = relevant.select(PAIR).unique().join(tail, on=c.ITEM_ID, how="semi")
    found = lists.select(PAIR).with_columns(pl.lit(1.0).alias("hit"))
    joined = wanted.join(found, on=PAIR, how="left").with_columns(pl.col("hit").fill_null(0.0))
    return joined.group_by(c.USER_ID).agg(pl.col("hit").mean().alias("tail_recall")).sort(c.USER_ID)


def with_tail_share(
    lists: pl.DataFrame, deciles: pl.DataFrame, *, share: float, k: int
) -> pl.DataFrame:
    """The first ``k`` of each list, at least ``share`` of them from the tail; best first.

    Where the best ``k`` hold too few, their last items outside of the tail give way to the best
    ones of the tail that follow. A list that does not hold enough of the tail takes all there is.

    Args:
        lists: ``user_id, item_id, rank, score``, longer than ``k`` to have something to take from.
        deciles: of ``popularity_deciles``.
        share: of the ``k`` places, in [0, 1].
        k: places.

    Raises:
        InputError: ``share`` outside [0, 1], or ``k`` below 1.
    """
    if not 0 <= share <= 1 or k < 1:
        raise InputError(f"`share` must lie in [0, 1] and `k` be at least 1, got {share} and {k}")
    needed = math.ceil(share * k - 1e-9)
    tail = deciles.filter(pl.col(DECILE) <= TAIL)[c.ITEM_ID]
    in_tail = pl.col(c.ITEM_ID).is_in(tail.implode())
    ordered = lists.sort(c.USER_ID, c.RANK).with_columns(in_tail.alias("in_tail"))
    of_kind = pl.int_range(pl.len()).over(c.USER_ID, "in_tail")
    n_tail = pl.col("in_tail").sum().over(c.USER_ID).clip(upper_bound=needed)
    ordered = ordered.with_columns(
        (pl.col("in_tail") & (of_kind < needed)).alias("kept"), (k - n_tail).alias("free")
    )
    others = ~pl.col("kept")
    place = pl.when(others).then(others.cum_sum().over(c.USER_ID))
    chosen = ordered.filter(pl.col("kept") | (place <= pl.col("free")))
    rank = pl.int_range(1, pl.len() + 1).over(c.USER_ID).cast(lists.schema[c.RANK])
    return chosen.with_columns(rank.alias(c.RANK)).select(lists.columns)
