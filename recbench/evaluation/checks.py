"""Whether lists and events can be judged; the first thing that is wrong is named."""

import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["check_recommendations", "clicked_pairs"]

PAIR = [c.USER_ID, c.ITEM_ID]


def check_recommendations(recommendations: pl.DataFrame) -> None:
    """Nothing, if these are lists: known columns, no nulls, each item once, ranks from 1 on.

    A score may be absent; where it is given, it must be a number. It decides nothing: ranks do.

    Raises:
        InputError: they are not; the message names the first user concerned.
    """
    source = "the recommendations"
    _check_present(recommendations, [*PAIR, c.RANK], source=source)
    for name in (*PAIR, c.RANK):
        _check_whole(recommendations[name], source=source)
    if c.SCORE in recommendations.columns:
        _check_scores(recommendations)
    twice = recommendations.filter(pl.struct(PAIR).is_duplicated())
    if len(twice):
        raise InputError(
            f"User {twice[c.USER_ID][0]} is recommended item {twice[c.ITEM_ID][0]} twice"
        )
    _check_ranks(recommendations)


def clicked_pairs(events: pl.DataFrame, *, source: str) -> pl.DataFrame:
    """User and item of each click, int64; without a column ``clicked`` every row is one.

    A null ``clicked`` is nobody's click, as in a log that is read from the lake.

    Args:
        events: any columns besides.
        source: what messages call the events.

    Raises:
        InputError: a column is missing, or is not what it must be.
    """
    source = f"the events of {source}"
    _check_present(events, PAIR, source=source)
    for name in PAIR:
        _check_whole(events[name], source=source)
    if c.CLICKED in events.columns:
        dtype = events.schema[c.CLICKED]
        if not (dtype == pl.Boolean or dtype.is_integer()):
            raise InputError(f"`{c.CLICKED}` of {source} must be true or false, got {dtype}")
        events = events.filter(pl.col(c.CLICKED).cast(pl.Boolean))
    return events.select(PAIR).cast(pl.Int64)


def _check_present(frame: pl.DataFrame, names: list[str], *, source: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"{source.capitalize()} lack {missing}; they have {frame.columns}")


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


def _check_scores(recommendations: pl.DataFrame) -> None:
    dtype = recommendations.schema[c.SCORE]
    if not dtype.is_numeric():
        raise InputError(f"`{c.SCORE}` of the recommendations must be numbers, got {dtype}")
    scores = pl.col(c.SCORE).cast(pl.Float64)
    bad = recommendations.filter(scores.is_null() | scores.is_nan())
    if len(bad):
        raise InputError(
            f"User {bad[c.USER_ID][0]} is recommended item {bad[c.ITEM_ID][0]} with the score "
            f"{bad[c.SCORE][0]}; every score must be a number, or leave the column out"
        )


def _check_ranks(recommendations: pl.DataFrame) -> None:
    ranks = recommendations.group_by(c.USER_ID).agg(
        pl.col(c.RANK).n_unique().alias("distinct"),
        pl.col(c.RANK).min().alias("first"),
        pl.col(c.RANK).max().alias("last"),
        pl.len().alias("n"),
    )
    whole = (pl.col("distinct") == pl.col("n")) & (pl.col("last") == pl.col("n"))
    bad = ranks.filter(~whole | (pl.col("first") != 1)).sort(c.USER_ID)
    if len(bad):
        raise InputError(
            f"Ranks must be 1, 2, … in each list, but user {bad[c.USER_ID][0]} has "
            f"{bad['n'][0]} items with ranks {bad['first'][0]} to {bad['last'][0]}"
        )
