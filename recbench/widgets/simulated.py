"""Figures of the simulated world; each says that it is simulated."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recbench.simulation.surface import ARTICLE
from recbench.widgets.style import COLOURS, INK, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = ["calibration_figure", "curves_figure", "interference_figure", "surface_figure"]

WORDS = {"click_rate": "clicks", "watch_s": "watch time"}
LOOKS = ("reference", "highlight", "model", "other")


def surface_figure(uplifts: pl.DataFrame, *, metric: str = "click_rate") -> "Figure":
    """The uplift over taste and item half-lives, a panel a label delay.

    Solid: where clicks rise by what the article reports, with the bounds of the interval dotted;
    dashed: where watch time does.

    Args:
        uplifts: of ``simulation.surface.uplifts``, of 15-minute over daily refreshes.
        metric: that the colours show.
    """
    from recbench.widgets.picture import FindingFigure

    delays = uplifts["label_delay_s"].unique().sort().to_list()
    figure = FindingFigure(
        figsize=(max(6.0, 3.3 * len(delays) + 1), 4.3), dpi=110, layout="constrained"
    )
    panels = figure.subplots(1, len(delays), sharey=True, squeeze=False)[0]
    top = float(uplifts[metric].abs().max())  # type: ignore[arg-type]  # a float column
    for axes, delay in zip(panels, delays, strict=True):
        part = uplifts.filter(pl.col("label_delay_s") == delay)
        image = _panel(axes, part, metric=metric, top=top)
        axes.set_title(f"labels {_minutes(delay)} late", loc="left", fontsize=10, color=INK)
        axes.set_xlabel("half-life of items, hours")
    panels[0].set_ylabel("half-life of tastes, hours")
    figure.colorbar(image, ax=list(panels), label=f"uplift of {WORDS[metric]}, %", format="{x:.0%}")
    figure.suptitle(_range(uplifts, metric), x=0.01, ha="left", fontsize=11, color=INK, wrap=True)
    for label, style, width in (
        (f"clicks {ARTICLE['click_rate']:+.1%}", "solid", 1.8),
        ("bounds of its interval", "dotted", 1.0),
        (f"watch time {ARTICLE['watch_s']:+.0%}", "dashed", 1.4),
    ):
        panels[0].plot([], [], color=INK, linestyle=style, linewidth=width, label=label)
    legend_below(figure)
    return figure


def _range(uplifts: pl.DataFrame, metric: str) -> str:
    found, level = uplifts[metric].to_numpy(), ARTICLE[metric]
    n_reached = int((found >= level).sum())
    return (
        f"Simulated: 15-minute over daily refreshes change {WORDS[metric]} by {found.min():+.1%} "
        f"to {found.max():+.1%}; {n_reached} of {len(found)} worlds reach the article's "
        f"{level:+.1%}"
    )


def _panel(axes: "Axes", part: pl.DataFrame, *, metric: str, top: float) -> "QuadMesh":
    items = part["item_half_life_h"].unique().sort().to_list()
    tastes = part["taste_half_life_h"].unique().sort().to_list()
    image = axes.pcolormesh(
        items,
        tastes,
        _grid(part, metric),
        vmin=-top,
        vmax=top,
        cmap=_falls_and_rises(),
        shading="nearest",
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
                items, tastes, values, [level], colors=INK, linestyles=style, linewidths=width
            )
    return image


def _falls_and_rises() -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    ends = [COLOURS["reference"], "white", COLOURS["model"]]
    return LinearSegmentedColormap.from_list("falls and rises", ends)


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
    true = part.unique("seed").sort("seed")
    said = part.group_by("design", maintain_order=True).agg(pl.col("estimate").mean())
    told = ", ".join(f"{value:+.1%} where {design}" for design, value in said.iter_rows())
    figure, axes = new_figure(
        f"Simulated: the true effect on {WORDS[metric]} is {true['true'].to_numpy().mean():+.1%}; "
        f"A/B tests say {told} (means of {len(true)} worlds)"
    )
    designs = said["design"].to_list()
    for number, design in enumerate(designs):
        own = part.filter(pl.col("design") == design).sort("seed")
        at = own["seed"].to_numpy() + 0.2 * (number - (len(designs) - 1) / 2)
        value = own["estimate"].to_numpy()
        bounds = np.abs(own.select("low", "high").to_numpy().T - value)
        colour = COLOURS[LOOKS[number % len(LOOKS)]]
        axes.errorbar(at, value, bounds, fmt="o", color=colour, label=design, capsize=2)
    axes.plot(true["seed"], true["true"], "_", color=INK, markersize=22, label="true, of twins")
    axes.set_xlabel("seed of the world")
    axes.set_ylabel(f"effect on {WORDS[metric]}, % of the control's")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xticks(true["seed"].to_list())
    legend_below(figure)
    return figure


def calibration_figure(curves: pl.DataFrame) -> "Figure":
    """What arms predicted beside the true chance, in ten parts; on the line they agree.

    Args:
        curves: the second frame of ``simulation.labels.delayed_labels``.
    """
    gap = (pl.col("predicted") - pl.col("true")).abs().mean()
    gaps = curves.group_by("arm", maintain_order=True).agg(gap.alias("gap")).sort("gap")
    (best, least), (worst, most) = gaps.row(0), gaps.row(-1)
    figure, axes = new_figure(
        f"Simulated, late clicks: predictions of {best} are off by {least:.3f} in the mean, "
        f"the least; those of {worst} by {most:.3f}, the most"
    )
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.8)
    for number, arm in enumerate(curves["arm"].unique(maintain_order=True).to_list()):
        own = curves.filter(pl.col("arm") == arm).sort("bin")
        colour = COLOURS[LOOKS[number % len(LOOKS)]]
        axes.plot(own["predicted"], own["true"], "o-", color=colour, label=arm, markersize=4)
    axes.set_xlabel("predicted chance of a click")
    axes.set_ylabel("true chance of a click")
    legend_below(figure)
    return figure


def curves_figure(compared: pl.DataFrame) -> "Figure":
    """The gain by cadence in a real log, with its interval, and in the simulated one.

    Args:
        compared: of ``simulation.validate.compared``.
    """
    n_inside, n_judged = compared["inside"].sum(), compared["inside"].count()
    figure, axes = new_figure(
        f"Simulated beside real, counters: {n_inside} of {n_judged} gains within its interval"
    )
    at = np.arange(len(compared))
    for name, low, high, colour, shift in (
        ("real", "low", "high", COLOURS["model"], -0.06),
        ("simulated", "simulated_low", "simulated_high", COLOURS["reference"], 0.06),
    ):
        value = compared[name].to_numpy()
        bounds = np.abs(compared.select(low, high).to_numpy().T - value)
        axes.errorbar(at + shift, value, bounds, fmt="o", color=colour, label=name, capsize=3)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(at, compared["cadence"].to_list())
    axes.set_xlabel("how often the counters are refreshed")
    axes.set_ylabel("hit@20, % more than daily")
    axes.yaxis.set_major_formatter("{x:+.0%}")
    legend_below(figure)
    return figure
