"""What a click log is like, in a few figures: what the dials of a simulated shop are set by."""

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["traits"]

LONG = 8  # clicks
BREAK_S = 900.0
HEAD = 100  # items
TINY = 1e-12


def traits(clicks: pl.DataFrame) -> dict[str, float]:
    """Sessions, pauses, returns, items and transitions of a log; none of them is a hit rate.

    - ``clicks_per_session``, ``long_sessions``: those of at least eight clicks, as a share;
    - ``pause_s``: the median between two clicks; ``late_pause``: its ninth decile, in medians;
    - ``returns``, ``returns_after_break``: next clicks on an item of the session's, as shares, and
      those that follow a pause of more than 15 minutes; ``to_the_last``: of returns, to the last;
    - ``returns_alike``: how much the returns of a session have in common, the correlation of two;
      ``own_steps``: steps from an item to the next that the session had made before, as a share,
      and ``own_steps_late``: those that it had first made more than 15 minutes before;
    - ``n_items``; ``head``: clicks on the hundred most clicked ones; ``on_new_items``: clicks of
      the second half on items that the first lacks;
    - ``distinct_steps``: different ones among steps from an item to one that is new in the session;
      ``known_steps``: such steps of the second half that the first holds.

    Args:
        clicks: canonical, in order of time; ``user_id`` is the session.

    Raises:
        InputError: no session has two clicks.
    """
    n = len(clicks)
    told = clicks.select(
        c.USER_ID,
        c.ITEM_ID,
        c.TS,
        pause_s=pl.col(c.TS).diff().over(c.USER_ID).dt.total_microseconds() / 1e6,
        last=pl.col(c.ITEM_ID).shift(1).over(c.USER_ID),
        returns=~pl.struct(c.USER_ID, c.ITEM_ID).is_first_distinct(),
        is_late=pl.int_range(pl.len()) >= n // 2,
    )
    steps = told.drop_nulls("last")
    if not len(steps):
        raise InputError(f"No session of {n} clicks has two of them: is `user_id` the session?")
    lengths = told.group_by(c.USER_ID).len()["len"]
    after_break = pl.col("pause_s") > BREAK_S
    figures = steps.select(
        pause_s=pl.col("pause_s").median(),
        late_pause=pl.col("pause_s").quantile(0.9) / pl.col("pause_s").median(),
        returns=pl.col("returns").filter(~after_break).mean(),
        returns_after_break=pl.col("returns").filter(after_break).mean(),
        to_the_last=(pl.col("last") == pl.col(c.ITEM_ID)).sum() / pl.col("returns").sum(),
    ).row(0, named=True)
    return (
        {"clicks_per_session": lengths.mean(), "long_sessions": (lengths >= LONG).mean()}
        | figures
        | _of_own(steps)
        | _of_items(told)
        | _of_steps(steps.filter(~pl.col("returns")))
    )


def _of_own(steps: pl.DataFrame) -> dict[str, float]:
    """What sessions have of their own; the correlation is 0 where none has two next clicks."""
    each = steps.group_by(c.USER_ID).agg(n=pl.len(), returns=pl.col("returns").sum())
    n, found = (each[name].cast(pl.Float64).to_numpy() for name in ("n", "returns"))
    mean = found.sum() / n.sum()
    within = mean * (1 - mean)  # the variance of one
    beyond = ((found - mean * n) ** 2 - within * n).sum()
    begun = pl.col(c.TS).first().over(c.USER_ID, "last", c.ITEM_ID)
    since_s = steps.select((pl.col(c.TS) - begun).dt.total_microseconds() / 1e6).to_series()
    again = ~steps.select(pl.struct(c.USER_ID, "last", c.ITEM_ID).is_first_distinct()).to_series()
    return {
        "returns_alike": beyond / max(within * (n * (n - 1)).sum(), TINY),
        "own_steps": again.mean(),
        "own_steps_late": (since_s > BREAK_S).mean(),
    }


def _of_items(told: pl.DataFrame) -> dict[str, float]:
    counts = np.sort(told[c.ITEM_ID].value_counts()["count"].to_numpy())[::-1]
    early, late = (told.filter(pl.col("is_late") == half)[c.ITEM_ID] for half in (False, True))
    return {
        "n_items": len(counts),
        "head": counts[:HEAD].sum() / counts.sum(),
        "on_new_items": (~late.is_in(early.unique().implode())).mean(),
    }


def _of_steps(steps: pl.DataFrame) -> dict[str, float]:
    ends = ["last", c.ITEM_ID]
    early, late = (steps.filter(pl.col("is_late") == half).select(ends) for half in (False, True))
    known = late.join(early.unique(), on=ends, how="semi")
    return {
        "distinct_steps": len(steps.select(ends).unique()) / max(len(steps), 1),
        "known_steps": len(known) / max(len(late), 1),
    }
