"""The way of the data as a figure: what of it a workspace has been along already."""

from typing import TYPE_CHECKING

from recbench.widgets.durations import duration
from recbench.widgets.style import COLOURS, INK, new_figure
from recbench.widgets.workspace import EVENTS, Overview

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["way_figure"]

WIDTH, HEIGHT, GAP = 1.5, 1.0, 0.5


def way_figure(overview: Overview) -> "Figure":
    """Events, training, gate, release, what is served: filled where there is something.

    Args:
        overview: of the workspace.
    """
    stations = _stations(overview)
    figure, axes = new_figure(_finding(overview), width=8.5, height=1.5)
    for number, (name, facts, is_there) in enumerate(stations):
        left = number * (WIDTH + GAP)
        axes.text(
            left + WIDTH / 2,
            HEIGHT / 2,
            f"{name}\n{facts}",
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
            bbox={
                "boxstyle": "round,pad=0.5",
                "facecolor": "#d6ecfa" if is_there else "white",
                "edgecolor": COLOURS["model"] if is_there else COLOURS["other"],
                "linestyle": "-" if is_there else "--",
            },
        )
        if number:
            axes.annotate(
                "",
                (left + 0.02, HEIGHT / 2),
                (left - GAP - 0.02, HEIGHT / 2),
                arrowprops={"arrowstyle": "->", "color": COLOURS["other"]},
            )
    axes.set_xlim(-0.1, len(stations) * (WIDTH + GAP) - GAP + 0.1)
    axes.set_ylim(0, HEIGHT)
    axes.set_axis_off()
    return figure


def _stations(overview: Overview) -> list[tuple[str, str, bool]]:
    """Name, what is there, and whether anything is."""
    logs = overview.tables.filter(overview.tables["table"].str.ends_with(EVENTS))
    n_runs, releases, current = len(overview.runs), overview.registry.releases(), overview.current
    verdict = str(current.gate.get("verdict", "unknown")) if current else "none yet"
    lag_s = overview.lag_s
    behind = "nothing yet" if current is None else "lag unknown"
    if lag_s is not None:
        behind = f"{duration(lag_s)} behind" if lag_s else "knows all events"
    return [
        (
            "events in the lake",
            f"{logs['rows'].sum():,} in {len(logs)} log{'s' * (len(logs) != 1)}",
            len(logs) > 0,
        ),
        ("runs", f"{n_runs:,}", n_runs > 0),
        ("gate", verdict, current is not None),
        ("releases", f"{len(releases):,}", len(releases) > 0),
        ("served", behind, current is not None),
    ]


def _finding(overview: Overview) -> str:
    steps = overview.steps()
    step = steps.filter(steps["state"] == "next")["step"][0]
    done = steps.filter(steps["state"] == "done")["step"].to_list()
    return f"Next: {step}" + (f" (done: {'; '.join(done)})" if done else "")
