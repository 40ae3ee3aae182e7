"""Figures of a fit and of its result."""

from typing import TYPE_CHECKING

import polars as pl

from recbench.widgets.style import COLOURS, count_in_ones, new_figure, write_plainly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["half_life_figure", "learning_curve_figure", "result_figure"]


def half_life_figure(figures: pl.DataFrame, *, best: float, metric: str) -> "Figure":
    """How recency popularity depends on its half-life.

    Args:
        figures: ``half_life_days`` and the metric.
        best: the chosen half-life in days.
        metric: the column, such as ``"ndcg@20"``.
    """
    figure, axes = new_figure(f"A half-life of {best:g} days is best on the validation")
    axes.plot(figures["half_life_days"], figures[metric], marker="o", color=COLOURS["reference"])
    axes.axvline(best, color=COLOURS["other"], linestyle="--", linewidth=1)
    axes.set_xscale("log")
    write_plainly(axes.xaxis)
    axes.set_xlabel("half-life of the popularity, days")
    axes.set_ylabel(f"{metric}, known users")
    return figure


def learning_curve_figure(
    curve: list[tuple[int, float]], *, best_step: int, baseline: float, metric: str
) -> "Figure":
    """The measure over training steps, beside what the recency prior alone reaches.

    Args:
        curve: (step, value) on the validation.
        best_step: the step that was chosen.
        baseline: the recency prior's value.
        metric: what was measured.
    """
    best = dict(curve)[best_step]
    change = (best / baseline - 1) * 100 if baseline > 0 else float("nan")
    finding = f"Best after {best_step} steps: {change:+.1f} % over recency popularity"
    figure, axes = new_figure(finding)
    axes.plot(*zip(*curve, strict=True), color=COLOURS["model"], label="two-tower")
    axes.axhline(baseline, color=COLOURS["reference"], linestyle="--", label="recency popularity")
    axes.plot([best_step], [best], marker="o", color=COLOURS["model"])
    axes.set_xlabel("training steps")
    count_in_ones(axes.xaxis)
    axes.set_ylabel(f"{metric} on the validation, known users")
    axes.legend(frameon=False)
    return figure


def result_figure(table: pl.DataFrame, *, metric: str, model: str, reference: str) -> "Figure":
    """Every model's metric on known users with its 95 % interval, the best on top.

    Args:
        table: ``model``, ``<metric> known``, ``low`` and ``high``.
        metric: such as ``"ndcg@20"``.
        model: ours, to be coloured.
        reference: the baseline that differences are taken to.
    """
    column = f"{metric} known"
    shown = table.filter(pl.col(column).is_not_null()).sort(column)
    place = shown["model"].to_list().index(model)
    rank = len(shown) - place
    figure, axes = new_figure(
        f"On known users the {model} is number {rank} of {len(shown)}",
        height=1.2 + 0.32 * len(shown),
    )
    for row, (name, value, low, high) in enumerate(
        shown.select("model", column, "low", "high").iter_rows()
    ):
        kind = "model" if name == model else "reference" if name == reference else "other"
        axes.plot([low, high], [row, row], color=COLOURS[kind], linewidth=2)
        axes.plot([value], [row], marker="o", color=COLOURS[kind])
    axes.set_yticks(range(len(shown)), shown["model"].to_list())
    axes.set_xlabel(f"{metric}, mean over known users with its 95 % interval")
    return figure
