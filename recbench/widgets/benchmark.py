"""Figures of the benchmark: who ranks best, who is shown, what the tail costs, expert routing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from recbench.widgets.style import COLOURS, legend_below, look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["exposure_figure", "price_figure", "result_figure", "routing_figure"]

OURS = ("two-stage", "two-tower")


def result_figure(table: pl.DataFrame, *, metric: str) -> "Figure":
    """Each model's mean with its interval, the highest on top.

    Args:
        table: ``model``, the metric, ``low`` and ``high``, the bounds of its 95 % interval.
        metric: the column; more is better.
    """
    table = table.sort(metric)
    first, *others = table.reverse().select("model", metric).iter_rows()
    title = f"{first[0]} has the highest {metric}, {first[1]:.4f}"
    title += "".join(f"; next is {name}, {value:.4f}" for name, value in others[:1])
    figure, axes = new_figure(title, height=1.2 + 0.26 * len(table))
    is_ours = [name.startswith(OURS) for name in table["model"]]
    for label, kind, which in (("ours", "model", True), ("baselines", "other", False)):
        at = [place for place, own in enumerate(is_ours) if own == which]
        part = table[at]
        axes.hlines(at, part["low"], part["high"], color=COLOURS[kind], linewidth=2)
        if at:
            axes.plot(part[metric], at, "o", color=COLOURS[kind], markersize=5, label=label)
    axes.set_yticks(range(len(table)), table["model"].to_list(), fontsize="small")
    axes.set_ylim(-0.5, len(table) - 0.5)
    axes.set_xlabel(f"{metric}, mean over requests with its 95 % interval")
    legend_below(figure)
    return figure


def exposure_figure(exposure: pl.DataFrame, models: Sequence[str]) -> "Figure":
    """The share of all shown places by popularity decile.

    Args:
        exposure: ``model, decile, exposure_frac``.
        models: which; the title is about the first.
    """
    mean = exposure.group_by("model", "decile").agg(pl.col("exposure_frac").mean()).sort("decile")
    tail = mean.filter(pl.col("model") == models[0], pl.col("decile") <= 5)["exposure_frac"].sum()
    title = f"{models[0]} gives {tail:.1%} of its places to the less clicked half"
    figure, axes = new_figure(title)
    for number, name in enumerate(models):
        own = mean.filter(pl.col("model") == name)
        colour, dash = look(number)
        axes.plot(
            own["decile"],
            own["exposure_frac"],
            marker="o",
            color=colour,
            linestyle=dash,
            label=name,
        )
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_xlabel("decile of items by clicks, 10 the most clicked")
    axes.set_ylabel("share of exposure")
    legend_below(figure)
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
    verb = "costs" if lost >= 0 else "brings"
    figure, axes = new_figure(
        f"At least {tenth['share']:.0%} of the list for the tail {verb} {abs(lost):.1%} of {metric}"
    )
    share = 100 * price["share"]
    band: dict[str, Any] = {"color": COLOURS["light"], "alpha": 0.3, "label": "95 % interval"}
    axes.fill_between(share, price["low"], price["high"], **band)
    axes.plot(share, price["value"], "o-", color=COLOURS["model"], label="mean over requests")
    axes.axhline(free, color=COLOURS["other"], linewidth=1, linestyle="--", label="nothing kept")
    axes.set_xlabel("least share of the list from the less clicked half, %")
    axes.set_ylabel(metric)
    legend_below(figure)
    return figure


def routing_figure(routing: pl.DataFrame) -> "Figure":
    """Which experts events go to by popularity decile, in the layer where it matters most.

    Args:
        routing: of `recbench.models.expert_routing.routing_by_decile`.
    """
    from recbench.models.expert_routing import routing_apart

    layer, apart = routing_apart(routing).sort("apart", "layer").row(-1)
    own = routing.filter(pl.col("layer") == layer).sort("decile", "expert")
    figure, axes = new_figure(
        f"In layer {layer} {apart:.0%} of what the less clicked half chooses is for other experts "
        "than the rest chooses"
    )
    for number, ((expert,), part) in enumerate(own.group_by("expert", maintain_order=True)):
        colour, dash = look(number)
        shown: dict[str, Any] = {
            "marker": "o",
            "color": colour,
            "linestyle": dash,
            "label": f"expert {expert}",
        }
        axes.plot(part["decile"], 100 * part["share"], **shown)
    even = 100 / own["expert"].n_unique()
    axes.axhline(even, color=COLOURS["other"], linewidth=1, linestyle="--", label="even")
    axes.set_xlabel("decile of items by clicks, 10 the most clicked")
    axes.set_ylabel("share of the decile's choices, %")
    legend_below(figure)
    return figure
