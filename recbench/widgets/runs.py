"""Runs side by side: a metric of each with its interval, and how it moved while they ran."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from recbench.errors import InputError
from recbench.jobs.runs import Run
from recbench.widgets.style import COLOURS, LINES, count_in_ones, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compared_metrics", "logged_points", "metric_figure", "sparklines_figure"]

BOUNDS = (("/value", "/low", "/high"), ("", "_low", "_high"))  # how metrics name their bounds
HIGHEST_LINES = 6  # metrics of one page of sparklines


def compared_metrics(runs: Sequence[Run]) -> list[str]:
    """The numbers that every run has, bounds left out, by name."""
    shared = [_numbers(run) for run in runs]
    names = [name for name in (shared[0] if shared else {}) if all(name in own for own in shared)]
    ends = tuple(end for _, low, high in BOUNDS for end in (low, high))
    return sorted(name for name in names if not name.endswith(ends))


def metric_figure(runs: Sequence[Run], metric: str) -> "Figure":
    """One metric of each run, the best on top, with its interval where the run has one.

    Args:
        runs: one or more.
        metric: as ``compared_metrics`` names it.

    Raises:
        InputError: a run does not have it.
    """
    rows = []
    for run in runs:
        numbers = _numbers(run)
        if metric not in numbers:
            raise InputError(f"Run {run.folder.name} has no metric {metric!r}")
        rows.append((run.folder.name, numbers[metric], *_bounds(numbers, metric)))
    rows.sort(key=lambda row: row[1])
    figure, axes = new_figure(_finding(rows), height=1.3 + 0.35 * len(rows))
    for place, (_, value, low, high) in enumerate(rows):
        colour = COLOURS["model"] if place == len(rows) - 1 else COLOURS["other"]
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], "o", color=colour)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    has_bounds = any(low is not None for _, _, low, _ in rows)
    axes.set_xlabel(f"{metric}, with its interval" if has_bounds else metric)
    return figure


def logged_points(run: Run) -> pl.DataFrame:
    """``metric, step, value``: every point that the run logged while it ran, in that order.

    A point without a step has its number among its metric's points.
    """
    rows: list[tuple[str, int, float]] = []
    path = run.folder / "metrics.jsonl"
    counts: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        held = json.loads(line)
        for name, value in held["metrics"].items():
            counts[name] = counts.get(name, -1) + 1
            step = counts[name] if held["step"] is None else held["step"]
            rows.append((name, step, float(value)))
    schema = {"metric": pl.String, "step": pl.Int64, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def sparklines_figure(runs: Sequence[Run]) -> "Figure":
    """What the runs logged on their way, a small plot a metric, a line a run.

    Args:
        runs: one or more; those that logged nothing have no line.
    """
    logged = {run.folder.name: logged_points(run) for run in runs}
    names = list(dict.fromkeys(name for points in logged.values() for name in points["metric"]))
    shown = names[:HIGHEST_LINES]
    n_silent = sum(points.is_empty() for points in logged.values())
    told = f"{len(names)} metric{'s were' if len(names) != 1 else ' was'} logged on the way"
    finding = told if names else "Nothing was logged"
    finding += f"; {n_silent} of {len(runs)} runs logged none" if names and n_silent else ""
    figure, axes = new_figure(finding, height=1.0 + 1.1 * max(1, len(shown)))
    axes.set_axis_off()
    for row, name in enumerate(shown):
        below = axes.inset_axes((0.0, 1 - (row + 1) / len(shown), 1.0, 0.62 / len(shown)))
        for number, (run, points) in enumerate(logged.items()):
            own = points.filter(pl.col("metric") == name)
            colour, dash = LINES[number % len(LINES)]
            style = {"marker": ".", "color": colour, "linestyle": dash}
            below.plot(own["step"], own["value"], label=run, **style)  # type: ignore[arg-type]  # keywords of matplotlib
        below.set_title(name, fontsize=8, loc="left")
        below.tick_params(labelsize=7)
        below.set_xlabel("step", fontsize=7)
        count_in_ones(below.xaxis)
        if row == 0:
            below.legend(frameon=False, fontsize=7, loc="upper right")
    return figure


def _finding(rows: list[tuple[str, float, float | None, float | None]]) -> str:
    if not rows:
        return "No run is chosen"
    best, value, low, _ = rows[-1]
    told = f"{best} has the highest: {value:.4g}"
    if len(rows) > 1 and low is not None and rows[-2][3] is not None:
        overlaps = rows[-2][3] >= low
        told += ", its interval overlaps the next" if overlaps else ", clear of the next"
    return told


def _bounds(numbers: dict[str, float], metric: str) -> tuple[float | None, float | None]:
    for value, low, high in BOUNDS:
        stem = metric.removesuffix(value)
        if metric.endswith(value) and {stem + low, stem + high} <= numbers.keys():
            return numbers[stem + low], numbers[stem + high]
    return None, None


def _numbers(run: Run) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in run.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
