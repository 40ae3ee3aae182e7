"""Figures of a hyper-parameter search."""

from typing import TYPE_CHECKING

import polars as pl

from recbench.widgets.style import COLOURS, count_in_ones, new_figure, write_plainly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["dial_figure", "history_figure"]


def history_figure(trials: pl.DataFrame, *, metric: str) -> "Figure":
    """Each trial's measure in the order of trials, the best so far, and what was pruned.

    Args:
        trials: of one model: ``number``, ``state`` and ``value``.
        metric: what was measured on the validation.
    """
    complete = trials.filter(pl.col("state") == "complete").sort("number")
    pruned = trials.filter(pl.col("state") == "pruned")
    best = float(complete["value"].max())  # type: ignore[arg-type]  # a float column
    n_pruned = len(pruned)
    finding = f"{len(complete)} trials to the end, {n_pruned} pruned; the best has {best:.4f}"
    figure, axes = new_figure(finding)
    axes.plot(complete["number"], complete["value"], "o", color=COLOURS["model"], label="trial")
    axes.step(
        complete["number"],
        complete["value"].cum_max(),
        where="post",
        color=COLOURS["model"],
        linewidth=1,
        label="best so far",
    )
    for number in pruned["number"]:
        axes.axvline(number, color=COLOURS["other"], linewidth=0.8, linestyle=":")
    axes.set_xlabel("trial (dotted: pruned)")
    count_in_ones(axes.xaxis)
    axes.set_ylabel(f"{metric} on the validation, known users")
    axes.legend(frameon=False)
    return figure


def dial_figure(trials: pl.DataFrame, *, dial: str, metric: str) -> "Figure":
    """The measure over one dial, a point a trial.

    Args:
        trials: of one model: the dial, ``state`` and ``value``.
        dial: such as ``"learning_rate"``; a number.
        metric: what was measured on the validation.
    """
    complete = trials.filter(pl.col("state") == "complete")
    best = complete.sort("value", descending=True)[dial][0]
    figure, axes = new_figure(f"The best trial has {dial} = {best:.3g}")
    axes.plot(complete[dial], complete["value"], "o", color=COLOURS["model"])
    axes.axvline(best, color=COLOURS["other"], linestyle="--", linewidth=1)
    axes.set_xscale("log")
    write_plainly(axes.xaxis)
    axes.set_xlabel(dial.replace("_", " "))
    axes.set_ylabel(f"{metric} on the validation, known users")
    return figure
