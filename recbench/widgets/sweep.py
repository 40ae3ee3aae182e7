"""Figures of a sweep: how far it came, and where in each parameter the good trials lie."""

from typing import TYPE_CHECKING

import polars as pl

from recbench.widgets.style import COLOURS, count_in_ones, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recbench.jobs.sweep import SweepResult

__all__ = ["parameters_figure", "progress_figure"]


def progress_figure(result: "SweepResult") -> "Figure":
    """Each trial's value in order, the best so far, and what failed."""
    trials = result.trials.sort("number")
    complete = trials.filter(pl.col("state") == "complete")
    failed = trials.filter(pl.col("state") == "failed")["number"]
    is_more = result.goal == "maximize"
    so_far = complete["value"].cum_max() if is_more else complete["value"].cum_min()
    at = complete.filter(pl.col("value") == result.value)["number"][0]
    finding = f"Trial {at} of {len(trials)} is best: {result.metric} {result.value:.4g}"
    figure, axes = new_figure(finding)
    axes.plot(complete["number"], complete["value"], "o", color=COLOURS["model"], label="trial")
    axes.step(complete["number"], so_far, where="post", color=COLOURS["model"], label="best so far")
    for place, number in enumerate(failed):
        label = "failed" if place == 0 else None
        axes.axvline(number, color=COLOURS["reference"], linestyle=":", label=label)
    axes.set_xlabel("trial, in order")
    count_in_ones(axes.xaxis)
    axes.set_ylabel(result.metric)
    axes.legend(frameon=False)
    return figure


def parameters_figure(result: "SweepResult", varied: list[str]) -> "Figure":
    """The value over each parameter that was varied, a panel each, a point a trial."""
    from recbench.widgets.picture import FindingFigure

    complete = result.trials.filter(pl.col("state") == "complete")
    size = (max(7.0, 2.4 * len(varied)), 3.2)
    figure = FindingFigure(figsize=size, dpi=110, layout="constrained")
    said = ", ".join(f"{name} = {_short(result.best[name])}" for name in varied)
    figure.suptitle(f"Best: {said}", x=0.01, ha="left", fontsize=11)
    panels = figure.subplots(1, len(varied), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, varied, strict=True):
        _panel(axes, complete, name, result)
    panels[0].set_ylabel(result.metric)
    return figure


def _panel(axes: "Axes", complete: pl.DataFrame, name: str, result: "SweepResult") -> None:
    is_number = complete[name].dtype.is_numeric()
    values = complete[name] if is_number else complete[name].cast(pl.String)
    best = result.best[name] if is_number else str(result.best[name])
    axes.plot(values.to_list(), complete["value"].to_list(), "o", color=COLOURS["model"])
    axes.plot([best], [result.value], "o", color=COLOURS["highlight"], markersize=9)
    if is_number and float(complete[name].min() or 0) > 0:  # type: ignore[arg-type]  # a number
        spread = float(complete[name].max() or 0) / float(complete[name].min() or 1)  # type: ignore[arg-type]  # a numeric column
        axes.set_xscale("log" if spread > 20 else "linear")
    axes.set_xlabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
