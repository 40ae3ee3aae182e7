"""Figures of the simulated world; each says that it is simulated."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recbench.simulation.surface import ARTICLE
from recbench.widgets.style import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

__all__ = ["calibration_figure", "curves_figure", "interference_figure", "surface_figure"]

WORDS = {"click_rate": "clicks", "watch_s": "watch time"}
LOOKS = ("reference", "highlight", "model", "other")


def surface_figure(uplifts: pl.DataFrame, *, metric: str = "click_rate") -> "Figure":
    """The uplift over taste and item half-lives, a panel a label delay.

    Solid: where clicks rise by what the article reports, with the bounds of the interval dotted;
    dashed: where watch time does.

    Args:
        uplifts: of ``simulation.surface.uplifts``.
        metric: that the colours show.
    """
    from matplotlib.figure import Figure

    delays = uplifts["label_delay_s"].unique().sort().to_list()
    figure = Figure(figsize=(3.3 * len(delays) + 1, 3.9), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(delays), sharey=True, squeeze=False)[0]
    top = float(uplifts[metric].abs().max())  # type: ignore[arg-type]  # a float column
    for axes, delay in zip(panels, delays, strict=True):
        part = uplifts.filter(pl.col("label_delay_s") == delay)
        image = _panel(axes, part, metric=metric, top=top)
        axes.set_title(f"labels {_minutes(delay)} late", loc="left", fontsize=10)
        axes.set_xlabel("half-life of items, hours")
    panels[0].set_ylabel("half-life of tastes, hours")
    figure.colorbar(image, ax=list(panels), label=f"uplift of {WORDS[metric]}", format="{x:.0%}")
    figure.suptitle(
        "Simulated: 15-minute over daily refreshes\nSolid: clicks "
        f"{ARTICLE['click_rate']:+.1%} (dotted: its interval), dashed: watch time "
        f"{ARTICLE['watch_s']:+.0%}",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    return figure


def _panel(axes: "Axes", part: pl.DataFrame, *, metric: str, top: float) -> "QuadMesh":
    items = part["item_half_life_h"].unique().sort().to_list()
    tastes = part["taste_half_life_h"].unique().sort().to_list()
    image = axes.pcolormesh(
        items, tastes, _grid(part, metric), vmin=-top, vmax=top, cmap="RdBu", shading="nearest"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(items, [f"{x:g}" for x in items], minor=False)
    axes.set_yticks(tastes, [f"{x:g}" for x in tastes], minor=False)
    axes.minorticks_off()
    lines = (
        ("click_rate", "solid", 1.8),
        ("click_rate_low", "dotted", 1.0),
        ("click_rate_high", "dotted", 1.0),
        ("watch_s", "dashed", 1.4),
    )
    for column, style, width in lines:
        values = _grid(part, column)
        level = ARTICLE["watch_s" if column.startswith("watch") else "click_rate"]
        if min(values.shape) > 1 and values.min() < level < values.max():
            axes.contour(
                items, tastes, values, [level], colors="k", linestyles=style, linewidths=width
            )
    return image


def _grid(part: pl.DataFrame, column: str) -> "np.typing.NDArray[np.float64]":
    """(tastes, items)."""
    wide = part.sort("taste_half_life_h", "item_half_life_h").pivot(
        "item_half_life_h", index="taste_half_life_h", values=column
    )
    return wide.drop("taste_half_life_h").to_numpy()


def _minutes(delay_s: float) -> str:
    return "not" if not delay_s else f"{delay_s / 60:g} min"


def interference_figure(found: pl.DataFrame, *, metric: str = "click_rate") -> "Figure":
    """What shared traffic says beside the truth, world by world.

    Args:
        found: of ``simulation.twins.interference`` with a column ``design``.
        metric: which.
    """
    part = found.filter(pl.col("metric") == metric)
    figure, axes = new_figure(
        f"Simulated: what an A/B test says of {WORDS[metric]}, beside the true effect"
    )
    designs = part["design"].unique(maintain_order=True).to_list()
    for number, design in enumerate(designs):
        own = part.filter(pl.col("design") == design).sort("seed")
        at = own["seed"].to_numpy() + 0.2 * (number - (len(designs) - 1) / 2)
        value = own["estimate"].to_numpy()
        bounds = np.abs(own.select("low", "high").to_numpy().T - value)
        colour = COLOURS[LOOKS[number % len(LOOKS)]]
        axes.errorbar(at, value, bounds, fmt="o", color=colour, label=design, capsize=2)
    true = part.unique("seed").sort("seed")
    axes.plot(true["seed"], true["true"], "_", color="k", markersize=22, label="true, of twins")
    axes.set_xlabel("seed of the world")
    axes.set_ylabel("relative effect")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xticks(true["seed"].to_list())
    axes.legend(frameon=False, fontsize="small")
    return figure


def calibration_figure(curves: pl.DataFrame) -> "Figure":
    """What arms predicted beside the true chance, in ten parts; on the line they agree.

    Args:
        curves: the second frame of ``simulation.labels.delayed_labels``.
    """
    figure, axes = new_figure("Simulated: late labels, predicted and true chance of a click")
    axes.plot([0, 1], [0, 1], color="k", linewidth=0.8)
    for number, arm in enumerate(curves["arm"].unique(maintain_order=True).to_list()):
        own = curves.filter(pl.col("arm") == arm).sort("bin")
        colour = COLOURS[LOOKS[number % len(LOOKS)]]
        axes.plot(own["predicted"], own["true"], "o-", color=colour, label=arm, markersize=4)
    axes.set_xlabel("predicted chance of a click")
    axes.set_ylabel("true chance of a click")
    axes.legend(frameon=False, fontsize="small")
    return figure


def curves_figure(compared: pl.DataFrame) -> "Figure":
    """The gain by cadence in a real log, with its interval, and in the simulated one.

    Args:
        compared: of ``simulation.validate.compared``.
    """
    n_inside, n_judged, n = compared["inside"].sum(), compared["inside"].count(), len(compared)
    figure, axes = new_figure(
        f"Simulated beside real, counters: {n_inside} of {n_judged} gains within its interval"
    )
    at = np.arange(n)
    for name, low, high, colour, shift in (
        ("real", "low", "high", COLOURS["model"], -0.06),
        ("simulated", "simulated_low", "simulated_high", COLOURS["reference"], 0.06),
    ):
        value = compared[name].to_numpy()
        bounds = np.abs(compared.select(low, high).to_numpy().T - value)
        axes.errorbar(at + shift, value, bounds, fmt="o", color=colour, label=name, capsize=3)
    axes.axhline(0, color="k", linewidth=0.8)
    axes.set_xticks(at, compared["cadence"].to_list())
    axes.set_xlabel("how often the counters are refreshed")
    axes.set_ylabel("hit@20 relative to daily")
    axes.yaxis.set_major_formatter("{x:+.0%}")
    axes.legend(frameon=False, fontsize="small")
    return figure
