"""What freshness is worth and costs: the curve, the dials' shares, and how it goes over time."""

from typing import TYPE_CHECKING, Any

import polars as pl

from recbench.widgets.style import COLOURS, INK, legend_below, look, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "calibration_figure",
    "cost_figure",
    "freshness_curve",
    "over_time_figure",
    "shares_figure",
]

MODELS = (
    "ours",
    "counters",
    "itemknn",
    "ease",
    "popularity",
    "two-tower",
)  # each has the line of its place
DIAL_COLOURS = {
    "history": COLOURS["model"],
    "statistics": COLOURS["reference"],
    "weights": COLOURS["highlight"],
    "index": COLOURS["light"],
}


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
    told = f"{'gain' if gained >= 0 else 'lose'} {abs(gained):.1%} {metric} over never"
    title = f"Releases at their freshest {told}; {recommended} is enough"
    figure, axes = new_figure(title, width=8.4, height=4.4)
    for number, model in enumerate(MODELS):
        own = curve.filter(model=model)
        if len(own):
            _line(axes, own, metric, line=look(number), label=model)
    ours = curve.filter(model="ours")
    places = {cadence: number for number, cadence in enumerate(ours["cadence"])}
    axes.axvline(places[recommended], color=COLOURS["light"], alpha=0.3, linewidth=8, zorder=0)
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
    legend_below(figure, ncols=5)
    return figure


def cost_figure(curve: pl.DataFrame, *, metric: str) -> "Figure":
    """Quality against what all releases together cost, by model; a point is a cadence."""
    best = curve.sort(metric).row(-1, named=True)
    title = (
        f"The highest {metric}, {best[metric]:.4f}, is that of {best['model']} at "
        f"{best['cadence']}, for {best['cpu_s']:,.3g} CPU seconds"
    )
    figure, axes = new_figure(title, height=3.8)
    for number, model in enumerate(MODELS):
        own, (colour, dash) = curve.filter(model=model), look(number)
        if len(own):
            line: dict[str, Any] = {
                "color": colour,
                "linestyle": dash,
                "marker": "o",
                "label": model,
            }
            axes.plot(own["cpu_s"], own[metric], **line)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xlabel("CPU seconds of all releases over the test")
    axes.set_ylabel(metric)
    legend_below(figure, ncols=5)
    return figure


def shares_figure(shares: pl.DataFrame, *, metric: str) -> "Figure":
    """Each dial's part of the whole gain, with intervals.

    Args:
        shares: ``gain, dial, value, low, high, frac``, the dial ``all`` for the whole.
        metric: its name.
    """
    parts = shares.filter(pl.col("dial") != "all")
    most = parts.sort("value").tail(1).row(0, named=True)
    dial, gain, value = most["dial"].capitalize(), most["gain"], most["value"]
    whole = shares.filter(dial="all", gain=gain)["value"].item()
    if value > 0 and whole > 0:  # of a loss, a share says nothing
        title = f"{dial} brings {most['frac']:.0%} of what {gain} gains"
    else:
        title = f"{gain} changes {metric} by {whole:+.4f}; {dial} brings most, {value:+.4f}"
    figure, axes = new_figure(title, height=3.4)
    gains = parts["gain"].unique(maintain_order=True).to_list()
    for place, (dial, colour) in enumerate(DIAL_COLOURS.items()):
        own = parts.filter(dial=dial)
        xs = [gains.index(gain) + 0.2 * (place - 1.5) for gain in own["gain"]]
        below, above = own["value"] - own["low"], own["high"] - own["value"]
        axes.bar(xs, own["value"], 0.18, color=colour, label=dial)
        axes.errorbar(xs, own["value"], [below, above], fmt="none", ecolor=INK, capsize=2)
    axes.set_xticks(range(len(gains)), gains)
    axes.set_ylabel(f"part of the gain in {metric}")
    legend_below(figure, ncols=4)
    return figure


def calibration_figure(history: pl.DataFrame, *, n_groups: int = 5) -> "Figure":
    """What refreshes were expected to gain against what they gained, in groups by expectation.

    Args:
        history: ``expected gain, measured gain, requests``, a row a refresh; null where nobody
            judged it.
        n_groups: of about equally many requests; what promised the same stays together.
    """
    told = history.drop_nulls("measured gain")
    groups = _alike(told, n_groups)
    title = "No refresh was judged by anybody"
    for whole in _alike(told, 1).iter_rows(named=True):
        title = (
            f"{whole['expected']:+.2f} % was expected of a refresh, {whole['measured']:+.2f} ± "
            f"{1.96 * (whole['error'] or 0.0):.2f} % came; {groups['is_near'].sum()} of "
            f"{groups['is_near'].count()} groups are within chance"
        )
    figure, axes = new_figure(title)
    axes.errorbar(
        groups["expected"],
        groups["measured"],
        yerr=1.96 * groups["error"].fill_null(0.0),
        fmt="o",
        capsize=3,
        color=COLOURS["model"],
        label="refreshes alike, 95 %",
    )
    ends = [min(0.0, float(groups["expected"].min() or 0.0)), float(groups["expected"].max() or 0)]  # type: ignore[arg-type]  # floats
    axes.plot(ends, ends, "--", color=COLOURS["reference"], label="as expected")
    axes.axhline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_xlabel("expected gain over what was served, %")
    axes.set_ylabel("measured gain, %")
    legend_below(figure)
    return figure


def _alike(told: pl.DataFrame, n_groups: int) -> pl.DataFrame:
    """``expected, measured, error, is_near`` in per cent, of groups by what was expected.

    Each request counts alike, and refreshes are what chance draws: of one alone nothing is known.
    """
    n, gain, expected = (pl.col(name) for name in ("requests", "measured gain", "expected gain"))
    middle = pl.col("reached").max().over("expected gain") - n.sum().over("expected gain") / 2
    mean = (n * gain).sum() / n.sum()
    off = (n * (gain - mean)).pow(2).sum() * pl.len() / (pl.len() - 1)
    groups = (
        told.sort("expected gain")
        .with_columns(reached=n.cum_sum())
        .with_columns(group=(middle * n_groups / n.sum()).floor())
        .group_by("group", maintain_order=True)
        .agg(
            expected=100 * (n * expected).sum() / n.sum(),
            measured=100 * mean,
            error=100 * pl.when(pl.len() > 1).then(off.sqrt() / n.sum()),
        )
    )
    away = (pl.col("measured") - pl.col("expected")).abs()
    return groups.with_columns(is_near=away <= 1.96 * pl.col("error"))


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
        colour, dash = look(number)
        line: dict[str, Any] = {"color": colour, "linestyle": dash, "marker": "o", "markersize": 3}
        axes.plot(own["begins"], own["gain"], **line, label=arm.rsplit("i-", 1)[-1])
        axes.fill_between(
            own["begins"], own["gain_low"], own["gain_high"], color=colour, alpha=0.15
        )
    axes.axhline(0, color=COLOURS["other"], linewidth=0.8)
    axes.set_xlabel("time, UTC")
    axes.set_ylabel(f"gain in {metric} over never")
    axes.tick_params(axis="x", rotation=20)
    legend_below(figure, ncols=5)
    return figure


def _line(axes: "Axes", own: pl.DataFrame, metric: str, *, line: Any, label: str) -> None:
    below, above = own[metric] - own[f"{metric}_low"], own[f"{metric}_high"] - own[metric]
    axes.errorbar(
        range(len(own)),
        own[metric],
        yerr=[below, above],
        marker="o",
        capsize=3,
        color=line[0],
        linestyle=line[1],
        label=label,
    )
