"""Trials of the gate, a row each, and what can be counted of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl
from scipy.stats import binomtest

__all__ = ["Trial", "as_frame", "reasons", "shares", "summary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One refresh, or a line of them, and what the gate made of it."""

    fault: str  # its kind; empty: none
    lasting: bool  # whether every candidate from the first on has it
    wanted: float  # relative NDCG that it was to cost
    cost: float  # that it does cost
    window: int  # in which it began
    seed: int
    caught: bool
    reason: str  # what caught it; empty if nothing did
    published: int  # candidates with the fault, before it was caught or the trial ended


def as_frame(trials: Sequence[Trial]) -> pl.DataFrame:
    """A row a trial."""
    return pl.DataFrame([asdict(trial) for trial in trials])


def shares(trials: pl.DataFrame) -> pl.DataFrame:
    """``fault, lasting, wanted, n, caught, low, high``: how many are caught, by what and of what.

    The bounds are Wilson's, for the share of all such trials. Rows of no ``fault`` but ``all`` hold
    every kind together; those of ``wanted`` 0 are false alarms.
    """
    both = [trials.with_columns(pl.lit("all").alias("fault")), trials.filter(pl.col("wanted") > 0)]
    grouped = (
        pl.concat(both)
        .group_by("fault", "lasting", "wanted")
        .agg(pl.len().alias("n"), pl.col("caught").sum().alias("k"))
        .sort("wanted", "lasting", "fault")
    )
    bounds = [
        binomtest(k, n).proportion_ci(method="wilson") for k, n in grouped.select("k", "n").rows()
    ]
    return grouped.with_columns(
        (pl.col("k") / pl.col("n")).alias("caught"),
        pl.Series("low", [bound.low for bound in bounds]),
        pl.Series("high", [bound.high for bound in bounds]),
    ).drop("k")


def reasons(trials: pl.DataFrame) -> pl.DataFrame:
    """``fault, lasting, wanted, reason, n``: what caught the trials; an empty reason: nothing."""
    by = ["fault", "lasting", "wanted", "reason"]
    return trials.group_by(by).agg(pl.len().alias("n")).sort(by)


def summary(trials: pl.DataFrame) -> dict[str, float]:
    """``caught/once/0.2``, ``caught/lasting/0.05``, ``false_alarms`` and the number of each."""
    figures: dict[str, float] = {}
    for row in shares(trials).filter(pl.col("fault") == "all").iter_rows(named=True):
        kind = "lasting" if row["lasting"] else "once"
        name = f"caught/{kind}/{row['wanted']:g}" if row["wanted"] else "false_alarms"
        figures |= {name: row["caught"], f"{name}/n": row["n"]}
    return figures
