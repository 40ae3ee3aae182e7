"""Figures of the benchmark: who ranks best, who is shown, what the tail costs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from recbench.widgets.style import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["exposure_figure", "price_figure", "result_figure"]

OURS = ("two-stage", "two-tower")


def result_figure(table: pl.DataFrame, *, metric: str) -> "Figure":
    """Each model's mean with its interval, the best on top.

    Args:
        table: ``model``, the metric, ``low`` and ``high``, the best first.
        metric: the column.
    """
    best = table.row(0, named=True)
    title = f"{best['model']} is best: {metric} {best[metric]:.4f}"
    figure, axes = new_figure(title, height=0.8 + 0.26 * len(table))
    for place, row in enumerate(table.reverse().iter_rows(named=True)):
        ours = row["model"].startswith(OURS)
        colour = COLOURS["model"] if ours else COLOURS["other"]
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
        axes.plot([row[metric]], [place], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(table)), table["model"].reverse().to_list(), fontsize=8)
    axes.set_xlabel(f"{metric}, requests with a history, 95 % interval")
    return figure


def exposure_figure(exposure: pl.DataFrame, models: Sequence[str]) -> "Figure":
    """The share of all shown places by popularity decile.

    Args:
        exposure: ``model, decile, exposure_frac``.
        models: which, the first in the model's colour.
    """
    mean = exposure.group_by("model", "decile").agg(pl.col("exposure_frac").mean()).sort("decile")
    tail = mean.filter(pl.col("model") == models[0], pl.col("decile") <= 5)["exposure_frac"].sum()
    title = f"{models[0]} gives {tail:.1%} of its places to the less clicked half"
    figure, axes = new_figure(title)
    colours = [COLOURS[name] for name in ("model", "reference", "highlight", "light", "other")]
    for name, colour in zip(models, colours, strict=False):
        own = mean.filter(pl.col("model") == name)
        axes.plot(own["decile"], own["exposure_frac"], "o-", color=colour, label=name)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_xlabel("decile of items by clicks, 10 the most clicked")
    axes.set_ylabel("share of exposure")
    axes.legend(fontsize=8)
    return figure


def price_figure(price: pl.DataFrame, *, metric: str) -> "Figure":
    """What a minimum share of the tail costs.

    Args:
        price: ``share, value, low, high``, a row a share, 0 first.
        metric: what the value is.
    """
    free = price["value"][0]
    tenth = price.filter(pl.col("share") <= 0.1).row(-1, named=True)
    lost = (free - tenth["value"]) / free if free else 0.0
    figure, axes = new_figure(f"{tenth['share']:.0%} of the list for the tail costs {lost:.1%}")
    share = 100 * price["share"]
    axes.fill_between(share, price["low"], price["high"], color=COLOURS["light"], alpha=0.3)
    axes.plot(share, price["value"], "o-", color=COLOURS["model"])
    axes.axhline(free, color=COLOURS["other"], linewidth=1, linestyle="--")
    axes.set_xlabel("least share of the list from the less clicked half, %")
    axes.set_ylabel(metric)
    return figure
