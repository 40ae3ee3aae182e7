"""Figures of features: what a window holds, how its values spread, what they tell."""

from collections.abc import Sequence
from datetime import datetime
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.features.definitions import WindowFeature
from recbench.widgets.style import COLOURS, LINES, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "distribution_figure",
    "popularity_figure",
    "signal_figure",
    "skew_figure",
    "window_figure",
]

MARKERS = ("o", "s", "^", "v", "D", "x", "+")


def window_figure(
    events: pl.DataFrame, feature: WindowFeature, *, at: datetime, value: float | None
) -> "Figure":
    """The events of one entity around ``at``, and which of them the window holds.

    Args:
        events: of one user or item; ``ts``.
        feature: whose window is shown.
        at: the instant the feature is asked for.
        value: what the feature is then; None: it has no value.
    """
    inside = pl.col(c.TS).is_between(at - feature.window, at, closed="left")
    near = events.filter((pl.col(c.TS) - at).abs() <= 2 * feature.window)
    held = near.select(inside).to_series()
    told = "nothing" if value is None else f"{value:g}"
    title = f"{feature.name} is {told}: {held.sum()} of {len(near)} events are in the window"
    figure, axes = new_figure(title, height=2.2)
    begins = -feature.window.total_seconds() / 60
    axes.axvspan(begins, 0, facecolor=COLOURS["light"], edgecolor=COLOURS["model"], alpha=0.25)
    minutes = (near[c.TS] - at).dt.total_seconds(fractional=True).to_numpy() / 60
    for name, chosen in (("model", held), ("other", ~held)):
        label = "counts" if name == "model" else "does not count"
        x = minutes[chosen.to_numpy()]
        axes.plot(x, np.ones(len(x)), "|", markersize=28, color=COLOURS[name], label=label)
    axes.set_xlabel("minutes from the instant that is asked for")
    axes.set_yticks([])
    axes.set_ylim(0.6, 1.8)
    axes.legend(frameon=False, loc="upper left", ncols=2, markerscale=0.4)
    return figure


def distribution_figure(values: pl.DataFrame, features: Sequence[WindowFeature]) -> "Figure":
    """The share of events whose feature is at least x, a line a window.

    Args:
        values: a column a feature, as ``window_features`` gives; nulls are left out.
        features: the shortest window first.
    """
    shortest = values[features[0].name].fill_null(0)
    n_empty = (shortest == 0).sum()
    found = f"0 for {n_empty / len(values):.0%} of the events" if len(values) else "given no events"
    figure, axes = new_figure(f"{features[0].name} is {found}")
    for feature, (colour, dash) in zip(features, cycle(LINES), strict=False):
        ordered = np.sort(values[feature.name].drop_nulls().to_numpy())
        share = 1 - np.arange(len(ordered)) / max(len(ordered), 1)
        look: dict[str, Any] = {"drawstyle": "steps-post", "color": colour, "linestyle": dash}
        axes.plot(ordered, share, label=feature.name, **look)
    axes.set_xscale("symlog")
    axes.set_xlabel("x, value of the feature")
    axes.set_ylabel("share of events with at least x")
    axes.legend(frameon=False)
    return figure


def popularity_figure(
    instants: Sequence[datetime],
    popularity: npt.NDArray[np.float64],
    *,
    half_lives_s: Sequence[float],
    item: str,
) -> "Figure":
    """One item's decayed popularity over time, a line a half-life, each as a share of its peak.

    Args:
        instants: S of them, ascending.
        popularity: (S, H), clicks.
        half_lives_s: H of them, seconds.
        item: what the item is called.
    """
    peaks = [instants[int(at)] for at in popularity.argmax(axis=0)]
    days = (max(peaks) - min(peaks)).total_seconds() / 86_400
    figure, axes = new_figure(f"{item}: the peak moves by {days:.0f} d with the half-life")
    times = pl.Series(instants).to_numpy()
    for column, half_life in enumerate(half_lives_s):
        share = popularity[:, column] / max(popularity[:, column].max(), 1e-12)
        label = f"{half_life / 3600:g} h" if half_life < 86_400 else f"{half_life / 86_400:g} d"
        colour, dash = LINES[column % len(LINES)]
        axes.plot(times, share, color=colour, linestyle=dash, label=label)
    axes.set_xlabel("time, UTC")
    axes.set_ylabel("popularity, share of its peak")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(title="half-life", framealpha=0.8)
    return figure


def signal_figure(table: pl.DataFrame) -> "Figure":
    """How often the clicked item had the higher value, with intervals, beside chance.

    Args:
        table: as ``item_signal`` gives.
    """
    best = table.sort("signal", descending=True).row(0, named=True)
    figure, axes = new_figure(
        f"{best['feature']} tells most: the clicked item is ahead in {best['signal']:.0%} of pairs"
    )
    ordered = table.reverse()
    margins = [
        (ordered["signal"] - ordered["low"]).to_numpy(),
        (ordered["high"] - ordered["signal"]).to_numpy(),
    ]
    axes.errorbar(
        ordered["signal"].to_numpy(),
        np.arange(len(ordered)),
        xerr=margins,
        fmt="o",
        color=COLOURS["model"],
        label="95 % interval, by users",
    )
    axes.axvline(0.5, color=COLOURS["reference"], linestyle="--", label="tells nothing")
    axes.set_yticks(np.arange(len(ordered)), ordered["feature"].to_list())
    axes.set_xlabel("chance that the clicked item has the higher value")
    axes.legend(frameon=False)
    return figure


def skew_figure(values: pl.DataFrame) -> "Figure":
    """What was served against what is computed afterwards, each as a share of the largest.

    Args:
        values: ``feature``, ``online`` and ``batch``, a row a value; nulls on both sides agree.
    """
    scale = pl.max_horizontal(pl.col("online", "batch").abs().max().over("feature"), 1e-12)
    shares = values.select("feature", pl.col("online") / scale, pl.col("batch") / scale)
    differs = shares.filter(
        pl.col("online").is_null() != pl.col("batch").is_null(),
    )
    gaps = (shares["online"] - shares["batch"]).abs().drop_nulls().to_numpy()
    gap = float(gaps.max(initial=0.0))
    figure, axes = new_figure(
        f"{len(values):,} values served and computed again: largest difference {gap:.1g}"
        + (f", {len(differs)} on one side only" if len(differs) else "")
    )
    axes.plot([0, 1], [0, 1], color=COLOURS["reference"], linestyle="--", label="no skew")
    for number, feature in enumerate(shares["feature"].unique(maintain_order=True).to_list()):
        own = shares.filter(pl.col("feature") == feature).drop_nulls()
        marker = MARKERS[number % len(MARKERS)]
        look: dict[str, Any] = {"markersize": 4, "color": LINES[number % len(LINES)][0]}
        axes.plot(own["batch"], own["online"], marker, alpha=0.6, label=feature, **look)
    axes.set_xlabel("computed over the whole log, share of the feature's largest")
    axes.set_ylabel("served, share of the same")
    axes.legend(frameon=False, fontsize="small")
    return figure
