"""Figures of a log: its days, its users' rhythm, and which items get the attention."""

from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.widgets.durations import duration
from recbench.widgets.style import COLOURS, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "concentration_figure",
    "days_figure",
    "drift_figure",
    "gaps_figure",
    "same_instant_figure",
]

TICKS_S = (1, 60, 3_600, 86_400, 30 * 86_400)
TICK_NAMES = ("1 s", "1 min", "1 h", "1 d", "30 d")
POINTS = 2_000  # of a line, at most
HEAD = 0.1  # share of the items that the title of the concentration speaks of


def days_figure(days: pl.DataFrame) -> "Figure":
    """Events per day, with the median and the span of the middle 80 % of days.

    Args:
        days: as ``events_per_day`` gives.
    """
    counts = days["n_events"].to_numpy()
    low, median, high = np.quantile(counts, [0.1, 0.5, 0.9])
    busiest = f"{counts.max():,} events on the busiest of {len(days)} days"
    figure, axes = new_figure(f"{busiest}, {median:,.0f} on the median day")
    axes.bar(days["day"].to_numpy(), counts, width=1.0, color=COLOURS["model"])
    axes.axhline(median, color=COLOURS["reference"], linestyle="--", label="median day")
    axes.axhspan(low, high, color=COLOURS["other"], alpha=0.25, label="middle 80 % of days")
    axes.set_xlabel("day, UTC")
    axes.set_ylabel("events per day")
    axes.tick_params(axis="x", rotation=30)
    legend_below(figure)
    return figure


def gaps_figure(gaps: pl.Series) -> "Figure":
    """The share of a user's next events that come within x seconds.

    Args:
        gaps: seconds, ascending, as ``gaps_s`` gives; may be empty.
    """
    if not len(gaps):
        figure, axes = new_figure("No user has a second event")
    else:
        half = cast("float", gaps.median())
        when = f"within {duration(half)}" if half > 0 else "at the very same instant"
        figure, axes = new_figure(f"Half of the next events come {when}")
        axes.axvline(half, color=COLOURS["reference"], linestyle="--", label="median")
    drawn = np.unique(np.linspace(0, len(gaps) - 1, min(POINTS, len(gaps))).astype(np.int64))
    share = (drawn + 1) / max(len(gaps), 1)
    axes.plot(gaps.to_numpy()[drawn], share, color=COLOURS["model"], label="all users")
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xticks(TICKS_S, TICK_NAMES)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("time since the same user's event before")
    axes.set_ylabel("share of events within it")
    axes.legend(frameon=False)
    return figure


def concentration_figure(curve: pl.DataFrame) -> "Figure":
    """The share of clicks that the most popular items hold, beside an even spread.

    Args:
        curve: as ``concentration`` gives.
    """
    items, clicks = curve["items_frac"].to_numpy(), curve["clicks_frac"].to_numpy()
    held = np.interp(HEAD, items, clicks)
    figure, axes = new_figure(f"The top {HEAD:.0%} of the items get {held:.0%} of the clicks")
    axes.plot(items, clicks, color=COLOURS["model"], label="this log")
    axes.plot([0, 1], [0, 1], color=COLOURS["reference"], linestyle="--", label="all items alike")
    axes.plot([HEAD], [held], marker="o", color=COLOURS["model"])
    axes.set_xlabel("share of the items, the most clicked first")
    axes.set_ylabel("share of the clicks")
    axes.legend(frameon=False, loc="lower right")
    return figure


def drift_figure(kept: pl.DataFrame, *, k: int, n_items: int) -> "Figure":
    """How much of each period's top k was there before, beside what chance would keep.

    Args:
        kept: as ``drift`` gives; may be empty.
        k: items of a top list.
        n_items: of the whole log.
    """
    mean = cast("float | None", kept["of_previous"].mean())
    stay = "no two periods have clicks" if mean is None else f"{mean:.0%} were there a period ago"
    figure, axes = new_figure(f"Of a period's top {k} items, {stay}")
    ts = kept[c.TS].to_numpy()
    axes.plot(ts, kept["of_previous"], "o-", color=COLOURS["model"], label="in the period before")
    axes.plot(ts, kept["of_first"], "s:", color=COLOURS["highlight"], label="in the first period")
    chance = min(k / n_items, 1.0)
    axes.axhline(chance, color=COLOURS["reference"], linestyle="--", label="by chance")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("start of the period, UTC")
    axes.set_ylabel(f"share of the top {k}")
    axes.tick_params(axis="x", rotation=30)
    axes.legend(frameon=False)
    return figure


def same_instant_figure(shares: pl.DataFrame) -> "Figure":
    """How many events come with others of the same user and instant.

    Args:
        shares: as ``same_instant`` gives.
    """
    alone = shares["events_frac"][0]
    figure, axes = new_figure(f"{1 - alone:.1%} of the events share their user's instant")
    colours = [COLOURS["other"]] + [COLOURS["model"]] * (len(shares) - 1)
    bars = axes.bar(shares["at_once"].to_list(), shares["events_frac"].to_numpy(), color=colours)
    axes.bar_label(bars, fmt="{:.1%}")
    axes.set_xlabel("events of the user at that very instant")
    axes.set_ylabel("share of events")
    return figure
