"""Figures of policies: estimates beside the truth, regret over time, exposure by decile."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recbench.widgets.style import COLOURS, INK, legend_below, look, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["exposure_figure", "regret_figure", "truth_figure"]


def truth_figure(table: pl.DataFrame, *, estimator: str = "dr") -> "Figure":
    """Estimates with both intervals against true values; a cross where nothing can be told.

    Args:
        table: a row a policy and estimator: ``policy``, ``estimator``, ``value``, the bounds of
            both intervals, ``truth``.
        estimator: whose estimates.
    """
    rows = table.filter(estimator=estimator).sort("truth")
    told = rows.filter(pl.col("value").is_not_null())
    inside = (pl.col("bootstrap_low") <= pl.col("truth")) & (
        pl.col("truth") <= pl.col("bootstrap_high")
    )
    n_inside = told.select(inside.sum()).item() if len(told) else 0
    figure, axes = new_figure(
        f"{n_inside} of {len(told)} intervals hold the truth; {len(rows) - len(told)} of "
        f"{len(rows)} policies cannot be told (simulated)"
    )
    places = {name: place for place, name in enumerate(rows["policy"])}
    at = [places[name] for name in told["policy"]]
    for kind, colour, width in (("bernstein", "light", 5.0), ("bootstrap", "model", 2.0)):
        low, high = told[f"{kind}_low"].to_numpy(), told[f"{kind}_high"].to_numpy()
        axes.hlines(at, low, high, color=COLOURS[colour], linewidth=width, label=f"{kind}, 95 %")
    axes.plot(told["value"], at, "o", color=COLOURS["model"], label=f"estimate ({estimator})")
    axes.plot(rows["truth"], range(len(rows)), "|", color=INK, markersize=14, label="truth")
    silent = rows.filter(pl.col("value").is_null())
    axes.plot(
        silent["truth"],
        [places[name] for name in silent["policy"]],
        "x",
        color=COLOURS["reference"],
        label="cannot tell",
    )
    axes.set_yticks(range(len(rows)), rows["policy"].to_list())
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xlabel("clicks a request")
    legend_below(figure)
    return figure


def regret_figure(regret: pl.DataFrame, *, best: str, other: str) -> "Figure":
    """Expected clicks lost against who knows the truth, over the hours.

    Args:
        regret: ``hour, arm, regret``.
        best: the arm that the title is about.
        other: what it is compared with there.
    """
    last = regret.group_by("arm", maintain_order=True).agg(pl.col("regret").last())
    lost = dict(last.iter_rows())
    figure, axes = new_figure(
        f"{best} has lost {lost[best]:,.0f} clicks by hour {regret['hour'].to_numpy().max():.0f}, "
        f"{other} {lost[other]:,.0f} (simulated)"
    )
    for number, ((arm,), rows) in enumerate(regret.group_by("arm", maintain_order=True)):
        colour, dash = look(number)
        width = 2.4 if arm == best else 1.2
        label = f"{arm}: {lost[arm]:,.0f}"
        (line,) = axes.plot(rows["hour"], rows["regret"], color=colour, linestyle=dash, label=label)
        line.set_linewidth(width)
    axes.set_xlabel("hours since the beginning of the world")
    axes.set_ylabel("expected clicks lost so far")
    legend_below(figure)
    return figure


def exposure_figure(exposure: pl.DataFrame, *, arms: list[str]) -> "Figure":
    """Which items were shown: shares by decile of clicks before, new items apart.

    Args:
        exposure: ``decile, arm, share``; decile 0 is of new items.
        arms: those that are drawn, the first one named in the title.
    """
    head = exposure.filter(arm=arms[0], decile=1)["share"].item()
    figure, axes = new_figure(f"{arms[0]}: {head:.0%} of slots go to the first decile (simulated)")
    deciles = exposure["decile"].unique().sort().to_list()
    order = [*(d for d in deciles if d), 0]
    width = 0.8 / len(arms)
    for number, arm in enumerate(arms):
        share = dict(exposure.filter(arm=arm).select("decile", "share").iter_rows())
        at = np.arange(len(order)) + (number - (len(arms) - 1) / 2) * width
        colour = look(number)[0]
        axes.bar(at, [100 * share[d] for d in order], width, color=colour, label=arm)
    labels = [str(decile) if decile else "new" for decile in order]
    axes.set_xticks(np.arange(len(order)), labels)
    axes.set_xlabel("decile of items by clicks of the first day; 1 has the most")
    axes.set_ylabel("% of slots")
    legend_below(figure)
    return figure
