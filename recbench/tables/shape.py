"""What a log looks like over time and over items, as small tables."""

from datetime import datetime, timedelta
from typing import cast

import polars as pl

from recbench import columns as c

__all__ = ["concentration", "drift", "events_per_day", "gaps_s", "same_instant"]

GROUPS = {1: "1", 2: "2", 5: "3-5", 10: "6-10", None: "11 or more"}  # the largest -> its label
FIRST = "first"


def events_per_day(events: pl.DataFrame) -> pl.DataFrame:
    """``day`` and ``n_events`` for every UTC day from the first event to the last, idle ones too."""
    day = pl.col(c.TS).dt.truncate("1d").alias("day")
    counted = events.group_by(day).agg(pl.len().cast(pl.Int64).alias("n_events"))
    first, last = counted["day"].min(), counted["day"].max()
    days = pl.select(pl.datetime_range(first, last, "1d", time_unit="us").alias("day"))
    return days.join(counted, on="day", how="left", maintain_order="left").with_columns(
        pl.col("n_events").fill_null(0)
    )


def gaps_s(events: pl.DataFrame) -> pl.Series:
    """Seconds from each event to the next of the same user, ascending; zero within one instant."""
    ordered = events.select(c.USER_ID, c.TS).sort(c.USER_ID, c.TS)
    gaps = ordered.select(pl.col(c.TS).diff().over(c.USER_ID).alias("gap_s"))["gap_s"]
    return gaps.drop_nulls().dt.total_seconds(fractional=True).sort()


def concentration(events: pl.DataFrame) -> pl.DataFrame:
    """``items_frac`` of the items, the most clicked first, and ``clicks_frac`` that they hold.

    The first row is (0, 0), the last (1, 1). Only items with a click count.
    """
    counts = events.filter(c.CLICKED)[c.ITEM_ID].value_counts(sort=True)["count"].cast(pl.Float64)
    origin = pl.Series([0.0])
    return pl.DataFrame(
        {
            "items_frac": pl.int_range(len(counts) + 1, eager=True) / max(len(counts), 1),
            "clicks_frac": origin.append(counts.cum_sum() / max(counts.sum(), 1.0)),
        }
    )


def drift(events: pl.DataFrame, *, k: int, n_periods: int) -> pl.DataFrame:
    """How much of each period's top k was already the top k before.

    The log's time span is cut into ``n_periods`` of equal length. Ties are broken by item id.
    Periods without a click are left out.

    Args:
        events: canonical.
        k: items of a top list.
        n_periods: 2 or more.

    Returns:
        A row for each period but the first: ``ts`` when it starts, ``kept_of_previous`` and
        ``kept_of_first``, shares of its top list in [0, 1].
    """
    clicks = events.filter(c.CLICKED)
    starts, tops = _top_lists(clicks, k=k, n_periods=n_periods)
    rows = [
        (starts[at], _shared(top, before), _shared(top, tops[0]))
        for at, (before, top) in enumerate(zip(tops, tops[1:], strict=False), start=1)
    ]
    schema = {c.TS: c.INSTANT, "kept_of_previous": pl.Float64, "kept_of_first": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def same_instant(events: pl.DataFrame) -> pl.DataFrame:
    """``events_frac`` by ``at_once``: how many events the user has at that very instant."""
    sizes = events.select(pl.len().over(c.USER_ID, c.TS).alias("size"))["size"]
    shares, above = [], 0
    for largest, label in GROUPS.items():
        inside = sizes > above if largest is None else sizes.is_between(above + 1, largest)
        shares.append((label, float(inside.sum() / len(sizes))))
        above = largest or above
    return pl.DataFrame(shares, schema={"at_once": pl.String, "events_frac": pl.Float64}, orient="row")
