"""Figures of scaling policies on simulated days: workers over a day, money, misses, savings."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recbench.evaluation.intervals import bootstrap_mean
from recbench.widgets.style import COLOURS, INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cost_figure", "energy_figure", "savings_figure", "workers_figure"]

OURS, BOUND = "ours", "clairvoyant bound"
ARM_COLOURS = {
    OURS: COLOURS["model"],
    "best static": COLOURS["reference"],
    "reactive with headroom": COLOURS["highlight"],
    "Dask's rule": COLOURS["more"],
}
Seen = Sequence[tuple[float, int, int]]  # seconds, workers, busy ones


def workers_figure(workers: Mapping[str, Seen], *, day: str) -> "Figure":
    """How many workers each arm paid for over a day, and how many of ours were busy.

    Args:
        workers: by arm.
        day: the trace's name.
    """
    ours = workers[OURS]
    mean = float(np.mean([alive for _, alive, _ in ours]))
    most = max(alive for _, alive, _ in ours)
    figure, axes = new_figure(f"{day}: ours pays for {mean:.0f} workers on average, {most} at most")
    hours, alive, busy = np.array(ours, dtype=np.float64).T * [[1 / 3600], [1], [1]]
    axes.fill_between(hours, busy, color=COLOURS["other"], alpha=0.35, linewidth=0, label="busy")
    for arm, colour in ARM_COLOURS.items():
        if arm in workers:
            hours, alive, _ = np.array(workers[arm], dtype=np.float64).T * [[1 / 3600], [1], [1]]
            axes.plot(hours, alive, color=colour, linewidth=1.0, label=arm)
    axes.set_xlabel("hour of the day")
    axes.set_ylabel("workers, starting ones among them")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, ncols=3, fontsize=8)
    return figure


def cost_figure(frame: pl.DataFrame) -> "Figure":
    """Money a day against the share of jobs that were late, with 95 % intervals over days.

    Args:
        frame: a row a day and arm: ``arm``, ``cost``, ``missed``, ``n_jobs``.
    """
    n_missed = frame.filter(pl.col("arm") == OURS)["missed"].sum()
    n_days = frame["trace"].n_unique()
    figure, axes = new_figure(f"Of {n_days} days ours missed {n_missed} deadlines")
    for (arm,), rows in frame.group_by("arm", maintain_order=True):
        if arm == BOUND:
            bound = float(rows["cost"].mean())  # type: ignore[arg-type]  # a numeric column
            axes.axvline(bound, color=COLOURS["other"], linestyle="--", label=str(arm))
            continue
        late = 100 * (rows["missed"] / rows["n_jobs"]).to_numpy()
        money, share = bootstrap_mean(rows["cost"].to_numpy()), bootstrap_mean(late)
        colour = ARM_COLOURS.get(str(arm), INK if arm == "reactive" else COLOURS["other"])
        axes.errorbar(
            money.value,
            share.value,
            xerr=[[money.value - money.low], [money.high - money.value]],
            yerr=[[share.value - share.low], [share.high - share.value]],
            marker="o",
            color=colour,
            label=str(arm),
            linestyle="none",
        )
    axes.set_yscale("symlog", linthresh=0.01)
    axes.set_ylim(bottom=-0.002)
    axes.set_xlabel("money a day, mean")
    axes.set_ylabel("jobs that were late, %")
    axes.legend(frameon=False, fontsize=8)
    return figure


def savings_figure(savings: pl.DataFrame) -> "Figure":
    """What ours saves of each other arm's cost, with 95 % intervals over paired days.

    Args:
        savings: of ``compare.savings_table``.
    """
    static = savings.row(by_predicate=pl.col("against") == "best static", named=True)
    finding = (
        f"Ours saves {static['saved']:.1%} [{static['low']:.1%}, {static['high']:.1%}] "
        "against the best static size"
    )
    figure, axes = new_figure(finding)
    for place, row in enumerate(reversed(savings.to_dicts())):
        low, high = row["saved"] - row["low"], row["high"] - row["saved"]
        colour = ARM_COLOURS.get(row["against"], COLOURS["other"])
        axes.errorbar(
            100 * row["saved"],
            place,
            xerr=[[100 * low], [100 * high]],
            marker="o",
            color=colour,
            capsize=3,
        )
    names = [f"{row['against']} ({row['missed']} late)" for row in reversed(savings.to_dicts())]
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_xlabel("saved of the other's cost, % (below 0: ours costs more)")
    return figure


def energy_figure(arms: pl.DataFrame) -> "Figure":
    """Kilowatt-hours and carbon dioxide a day, by arm.

    Args:
        arms: of ``compare.arms_table``.
    """
    known = arms.filter(pl.col("kwh").is_not_null())
    by_arm = dict(known.select("arm", "carbon_kg").iter_rows())
    saved = 1 - by_arm[OURS] / by_arm["best static"]
    figure, axes = new_figure(f"Ours emits {saved:.0%} less than the best static size")
    places = np.arange(len(known))
    axes.barh(places + 0.2, known["kwh"], height=0.38, color=COLOURS["model"], label="kWh")
    axes.barh(
        places - 0.2, known["carbon_kg"], height=0.38, color=COLOURS["highlight"], label="kg CO2"
    )
    axes.set_yticks(places, known["arm"].to_list())
    axes.invert_yaxis()
    axes.set_xlabel("a day: kilowatt-hours, kilograms of carbon dioxide")
    axes.legend(frameon=False)
    return figure
