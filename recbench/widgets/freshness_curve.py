"""What freshness is worth and costs: the curve, the dials' shares, and how it goes over time."""

from typing import TYPE_CHECKING

import polars as pl

from recbench.widgets.style import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cost_figure", "freshness_curve", "over_time_figure", "shares_figure"]

MODEL_COLOURS = {
    "ours": COLOURS["model"],
    "counters": COLOURS["reference"],
    "itemknn": COLOURS["highlight"],
    "ease": COLOURS["light"],
    "popularity": COLOURS["other"],
}
DIAL_COLOURS = {
    "history": COLOURS["model"],
    "statistics": COLOURS["reference"],
    "weights": COLOURS["highlight"],
    "index": COLOURS["light"],
}
CADENCE_COLOURS = (COLOURS["other"], COLOURS["light"], COLOURS["highlight"], COLOURS["reference"])


def freshness_curve(
    curve: pl.DataFrame, *, metric: str, recommended: str, gained: float
) -> "Figure":
    """Quality at each cadence of releases, by model, and what it costs.

    Args:
        curve: ``model, cadence``, the metric with its bounds, ``cpu_s`` and ``sustainable``.
        metric: a column of it, with its bounds ``_low`` and ``_high``.
        recommended: a cadence.
        gained: of the metric by the freshest cadence over never, relative; for the title.
    """
    title = f"Releases at their freshest gain {gained:+.1%} over never; {recommended} is enough"
    figure, axes = new_figure(title, width=8.4, height=4.4)
    for model, colour in MODEL_COLOURS.items():
        own = curve.filter(model=model)
        if len(own):
            _line(axes, own, metric, colour=colour, label=model)
    ours = curve.filter(model="ours")
    places = {cadence: number for number, cadence in enumerate(ours["cadence"])}
    axes.axvline(places[recommended], color="#e5e5e5", linewidth=8, zorder=0)
    for row in ours.iter_rows(named=True):
        cost = f"{row['cpu_s']:.2g} CPU s" if row["cpu_s"] else "free"
        unable = "" if row["sustainable"] else "\nnot sustainable"
        axes.annotate(
            f"{cost}{unable}",
            (places[row["cadence"]], row[metric]),
            xytext=(0, 12),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_xticks(range(len(places)), list(places))
    axes.set_xlabel("cadence of releases; histories are ideal: known at every event")
    axes.set_ylabel(f"{metric}, mean over requests, 95 %")
    axes.margins(y=0.15)
    figure.legend(frameon=False, loc="outside lower left", ncols=5, fontsize="small")
    return figure


def cost_figure(curve: pl.DataFrame, *, metric: str) -> "Figure":
    """Quality against what all releases together cost, by model; a point is a cadence."""
    figure, axes = new_figure("What quality costs", height=3.8)
    for model, colour in MODEL_COLOURS.items():
        own = curve.filter(model=model)
        if len(own):
            axes.plot(own["cpu_s"], own[metric], "o-", color=colour, label=model)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xlabel("CPU seconds of all releases over the test")
    axes.set_ylabel(metric)
    axes.legend(frameon=False, fontsize="small")
    return figure


def shares_figure(shares: pl.DataFrame, *, metric: str) -> "Figure":
    """Each dial's part of the whole gain, with intervals.

    Args:
        shares: ``gain, dial, value, low, high, frac``, the dial ``all`` for the whole.
        metric: its name.
    """
    parts = shares.filter(pl.col("dial") != "all")
    most = parts.sort("value").tail(1).row(0, named=True)
    title = f"{most['dial']} brings {most['frac']:.0%} of what {most['gain']} gains"
    figure, axes = new_figure(title.capitalize(), height=3.4)
    gains = parts["gain"].unique(maintain_order=True).to_list()
    for place, (dial, colour) in enumerate(DIAL_COLOURS.items()):
        own = parts.filter(dial=dial)
        xs = [gains.index(gain) + 0.2 * (place - 1.5) for gain in own["gain"]]
        below, above = own["value"] - own["low"], own["high"] - own["value"]
        axes.bar(xs, own["value"], 0.18, yerr=[below, above], color=colour, label=dial, capsize=2)
    axes.set_xticks(range(len(gains)), gains)
    axes.set_ylabel(f"part of the gain in {metric}")
    axes.legend(frameon=False, ncols=2, fontsize="small")
    return figure


def over_time_figure(values: pl.DataFrame, *, metric: str) -> "Figure":
    """The gain over never of each cadence, as the test goes on.

    Args:
        values: ``begins, arm, gain, gain_low, gain_high``; arms in order of freshness.
        metric: its name.
    """
    arms = values["arm"].unique(maintain_order=True).to_list()[1:]
    last = values.filter(arm=arms[-1])
    above = int((last["gain_low"] > 0).sum())
    title = f"The freshest releases are surely ahead of never in {above} of {len(last)} parts"
    figure, axes = new_figure(title)
    for number, arm in enumerate(arms):
        own = values.filter(arm=arm)
        colour = CADENCE_COLOURS[(number + 1) % len(CADENCE_COLOURS)]
        label = arm.rsplit("i-", 1)[-1]
        axes.plot(own["begins"], own["gain"], "o-", markersize=3, color=colour, label=label)
        axes.fill_between(
            own["begins"], own["gain_low"], own["gain_high"], color=colour, alpha=0.15
        )
    axes.axhline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_xlabel("time, UTC")
    axes.set_ylabel(f"gain in {metric} over never")
    axes.tick_params(axis="x", rotation=20)
    axes.legend(frameon=False, ncols=3, fontsize="small")
    return figure


def _line(axes: "Axes", own: pl.DataFrame, metric: str, *, colour: str, label: str) -> None:
    below, above = own[metric] - own[f"{metric}_low"], own[f"{metric}_high"] - own[metric]
    axes.errorbar(
        range(len(own)),
        own[metric],
        yerr=[below, above],
        marker="o",
        capsize=3,
        color=colour,
        label=label,
    )
