"""What a log looks like over time, users and items, as small tables."""

from datetime import datetime
from typing import cast

import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["concentration", "drift", "events_per_day", "gaps_s", "same_instant"]

AT_ONCE = {1: "1", 2: "2", 5: "3-5", 10: "6-10"}  # the largest size of a group -> its label
MORE_AT_ONCE = "11 or more"


def events_per_day(events: pl.DataFrame) -> pl.DataFrame:
    """``day`` and ``n_events``: every UTC day from the first event to the last, idle ones, too."""
    counted = events.group_by(pl.col(c.TS).dt.truncate("1d").alias("day")).agg(
        pl.len().cast(pl.Int64).alias("n_events")
    )
    days = counted.select(pl.datetime_range(pl.col("day").min(), pl.col("day").max(), "1d"))
    return days.join(counted, on="day", how="left", maintain_order="left").with_columns(
        pl.col("n_events").fill_null(0)
    )


def gaps_s(events: pl.DataFrame) -> pl.Series:
    """Seconds from each event to the user's next, ascending; zero within one instant."""
    ordered = events.select(c.USER_ID, c.TS).sort(c.USER_ID, c.TS)
    gaps = ordered.select(pl.col(c.TS).diff().over(c.USER_ID).alias("gap_s"))["gap_s"]
    return gaps.drop_nulls().dt.total_seconds(fractional=True).sort()


def concentration(events: pl.DataFrame) -> pl.DataFrame:
    """``clicks_frac``: what the most clicked ``items_frac`` of all clicked items hold.

    The first row is (0, 0), the last (1, 1).

    Raises:
        InputError: nothing was clicked.
    """
    counts = _clicks(events)[c.ITEM_ID].value_counts(sort=True)["count"].cast(pl.Float64)
    return pl.DataFrame(
        {
            "items_frac": pl.int_range(len(counts) + 1, eager=True) / len(counts),
            "clicks_frac": pl.Series([0.0]).append(counts.cum_sum() / counts.sum()),
        }
    )


def drift(events: pl.DataFrame, *, k: int, n_periods: int) -> pl.DataFrame:
    """How much of each period's top k was in the top k before.

    The time from the first click to the last is cut into equal periods; those without a click are
    left out. Ties within a top list are broken by item id.

    Args:
        events: canonical.
        k: items of a top list, 1 or more.
        n_periods: 2 or more.

    Returns:
        A row for each period but the first: ``ts`` when it starts, ``of_previous`` and
        ``of_first``, shares of its list in [0, 1] that these periods' lists hold.

    Raises:
        InputError: ``k`` or ``n_periods`` is too small, or nothing was clicked.
    """
    if k < 1 or n_periods < 2:
        raise InputError(f"`k` must be 1 or more, `n_periods` 2 or more; got {k} and {n_periods}")
    clicks = _clicks(events)
    first, last = cast("datetime", clicks[c.TS].min()), cast("datetime", clicks[c.TS].max())
    length = (last - first) / n_periods
    starts = [first + at * length for at in range(n_periods)]
    period = pl.sum_horizontal(pl.col(c.TS) >= start for start in starts[1:]).alias("period")
    tops = (
        clicks.group_by(period, c.ITEM_ID)
        .len()
        .sort("period", "len", c.ITEM_ID, descending=[False, True, False])
        .group_by("period", maintain_order=True)
        .agg(pl.col(c.ITEM_ID).head(k))
    )
    lists = [set(top) for top in tops[c.ITEM_ID]]
    rows = [
        (starts[at], len(top & before) / len(top), len(top & lists[0]) / len(top))
        for at, before, top in zip(tops["period"][1:], lists, lists[1:], strict=False)
    ]
    schema = [(c.TS, c.INSTANT), ("of_previous", pl.Float64()), ("of_first", pl.Float64())]
    return pl.DataFrame(rows, schema=schema, orient="row")


def same_instant(events: pl.DataFrame) -> pl.DataFrame:
    """``events_frac`` by ``at_once``: how many events the user has at that very instant."""
    size = pl.len().over(c.USER_ID, c.TS)
    group = pl.coalesce(
        *(pl.when(size <= largest).then(pl.lit(label)) for largest, label in AT_ONCE.items()),
        pl.lit(MORE_AT_ONCE),
    )
    labels = [*AT_ONCE.values(), MORE_AT_ONCE]
    found = events.select(group.alias("at_once"))
    shares = found.group_by("at_once").agg((pl.len() / len(events)).alias("events_frac"))
    return (
        pl.DataFrame({"at_once": labels})
        .join(shares, on="at_once", how="left", maintain_order="left")
        .with_columns(pl.col("events_frac").fill_null(0.0))
    )


def _clicks(events: pl.DataFrame) -> pl.DataFrame:
    clicks = events.filter(c.CLICKED)
    if not len(clicks):
        raise InputError(f"None of {len(events)} events is clicked: there is no popularity")
    return clicks
