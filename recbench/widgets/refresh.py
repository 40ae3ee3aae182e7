"""Figures of refreshes: one, many, and against full retrains."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from recbench.widgets.style import COLOURS, count_in_ones, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "forecast_figure",
    "gap_figure",
    "operating_figure",
    "update_figure",
    "windows_figure",
]

ARM_COLOURS = {
    "refresh": COLOURS["model"],
    "retrain": COLOURS["highlight"],
    "popularity alone": COLOURS["reference"],
    "nothing": COLOURS["other"],
}


def update_figure(losses: Sequence[float]) -> "Figure":
    """The loss over the steps of one update."""
    n = len(losses)
    change = f": {losses[0]:.3f} to {losses[-1]:.3f}" if n else ""
    figure, axes = new_figure(f"{n} steps of the update{change}", height=2.8)
    axes.plot(range(1, n + 1), losses, color=COLOURS["model"])
    axes.set_xlabel("step")
    count_in_ones(axes.xaxis)
    axes.set_ylabel("loss")
    return figure


def forecast_figure(history: pl.DataFrame) -> "Figure":
    """Expected and measured gain of each refresh.

    Args:
        history: ``refresh``, ``expected gain``, ``low``, ``high``, ``measured gain`` and
            ``standard error``; null where there is none.
    """
    told = history.filter(pl.col("expected gain").is_not_null())
    judged = history.filter(pl.col("measured gain").is_not_null())
    inside = judged.filter(pl.col("measured gain").is_between("low", "high"))
    finding = f"{len(inside)} of {len(judged)} measured gains lie where nine in ten should"
    figure, axes = new_figure(finding)
    axes.fill_between(
        told["refresh"],
        100 * told["low"],
        100 * told["high"],
        color=COLOURS["light"],
        alpha=0.3,
        label="expected, nine in ten",
    )
    axes.plot(told["refresh"], 100 * told["expected gain"], "--", color=COLOURS["more"])
    axes.errorbar(
        judged["refresh"],
        100 * judged["measured gain"],
        yerr=100 * judged["standard error"].fill_null(0.0),
        fmt="o",
        color=COLOURS["model"],
        label="measured, with its standard error",
    )
    axes.axhline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_xlabel("refresh")
    count_in_ones(axes.xaxis)
    axes.set_ylabel("gain over what was served, %")
    legend_below(figure)
    return figure


def windows_figure(values: pl.DataFrame, *, metric: str) -> "Figure":
    """Each arm's metric, window after window.

    Args:
        values: ``window``, ``arm`` and ``value``.
        metric: its name.
    """
    means = {name: values.filter(pl.col("arm") == name)["value"].mean() for name in ARM_COLOURS}
    refresh, retrain = (float(means[name] or 0.0) for name in ("refresh", "retrain"))  # type: ignore[arg-type]  # means of floats
    share = refresh / retrain if retrain else float("nan")
    figure, axes = new_figure(f"Refreshes keep {share:.1%} of what retrains reach")
    for name, colour in ARM_COLOURS.items():
        arm = values.filter(pl.col("arm") == name).sort("window")
        axes.plot(arm["window"], arm["value"], color=colour, label=name, linewidth=1.4)
    axes.set_xlabel("window")
    count_in_ones(axes.xaxis)
    axes.set_ylabel(f"{metric}, mean over requests")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, ncols=2)
    return figure


def gap_figure(values: pl.DataFrame, *, slope: float, low: float, high: float) -> "Figure":
    """The gap between refreshes and retrains over consecutive windows, with its trend.

    Args:
        values: ``window``, ``arm`` and ``value``.
        slope: relative change of the gap from window to window.
        low: its lower bound.
        high: its upper bound.
    """
    wide = values.pivot(on="arm", index="window", values="value").sort("window")
    scale = float(wide["retrain"].mean())  # type: ignore[arg-type]  # a float column
    gap = 100 * (wide["refresh"] - wide["retrain"]) / scale
    word = "grows" if high < 0 else "shrinks" if low > 0 else "does not grow"
    finding = f"The gap {word}: {100 * slope:+.3f} [{100 * low:+.3f}, {100 * high:+.3f}] % a window"
    figure, axes = new_figure(finding)
    axes.bar(wide["window"], gap, color=COLOURS["model"], label="window")
    n = wide["window"]
    trend = gap.mean() + 100 * slope * (n - n.mean())
    axes.plot(n, trend, color=COLOURS["reference"], label="trend")
    axes.axhline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_xlabel("window")
    count_in_ones(axes.xaxis)
    axes.set_ylabel("refresh less retrain, % of retrain")
    axes.legend(frameon=False)
    return figure


def operating_figure(shares: pl.DataFrame) -> "Figure":
    """How often the gate catches a loss, by its size, once and where it lasts.

    Args:
        shares: ``fault, lasting, wanted, n, caught, low, high`` as `jobs.trials.shares` gives.
    """
    every = shares.filter(pl.col("fault") == "all")
    alarms = every.filter(pl.col("wanted") == 0)
    share = float(alarms["caught"][0]) if len(alarms) else float("nan")
    figure, axes = new_figure(f"The gate is wrong in {share:.1%} of the refreshes without a fault")
    for lasting, colour, label in (
        (False, COLOURS["model"], "once: before it is published"),
        (True, COLOURS["highlight"], "lasting: within eight refreshes"),
    ):
        part = pl.concat([alarms, every.filter(lasting=lasting).filter(pl.col("wanted") > 0)])
        if len(part) == len(alarms):
            continue
        middle = 100 * part["caught"]
        below, above = middle - 100 * part["low"], 100 * part["high"] - middle
        axes.errorbar(
            100 * part["wanted"],
            middle,
            yerr=[below.clip(0), above.clip(0)],
            color=colour,
            marker="o",
            capsize=3,
            label=label,
        )
    axes.set_xlabel("what the fault costs, % of NDCG")
    axes.set_ylabel("caught, % of the trials")
    axes.set_ylim(-3, 103)
    axes.legend(frameon=False)
    return figure
