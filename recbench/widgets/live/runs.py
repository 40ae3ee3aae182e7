"""The run comparison: what differs between runs, their metrics, and how they got there."""

from collections.abc import Iterator
from pathlib import Path

import ipywidgets

from recbench.jobs.comparison import comparison_frame
from recbench.jobs.runs import Run, list_runs
from recbench.widgets.live.panel import Panel
from recbench.widgets.runs import compared_metrics, metric_figure, sparklines_figure
from recbench.widgets.shown import Page, Part
from recbench.widgets.tables import Table

__all__ = ["run_comparison"]

N_OFFERED = 100
TABLE, METRIC, ON_THE_WAY, REPORT = "side by side", "a metric", "on the way", "report"


def run_comparison(runs: Path, *, like: str = "") -> Panel:
    """Dials for the runs, a text their metrics' names contain, and what to look at.

    The latest two runs of one notebook are chosen at first. Runs are chosen several at once with
    Ctrl or Shift. *report* shows that of the first of them.

    Args:
        runs: the folder of the runs.
        like: at first, only metrics whose names contain this are drawn.
    """
    held = {run.folder.name: run for run in list_runs(runs)[::-1][:N_OFFERED]}
    dials = {
        "chosen": ipywidgets.SelectMultiple(
            options=list(held),
            value=_latest_two(held),
            description="runs",
            rows=6,
            layout=ipywidgets.Layout(width="40em"),
        ),
        "view": ipywidgets.Dropdown(
            options=[TABLE, METRIC, ON_THE_WAY, REPORT], description="look at"
        ),
        "like": ipywidgets.Text(value=like, description="metric", continuous_update=False),
    }

    def show(chosen: tuple[str, ...], view: str, like: str) -> Iterator[Part]:
        own = [held[name] for name in chosen]
        if not held:
            yield f"There is no run in {runs} yet."
        elif view == REPORT:
            yield from _report(own)
        elif len(own) < 2:
            yield "Choose two or more runs."
        elif view == TABLE:
            yield Table(comparison_frame(own))
        elif view == ON_THE_WAY:
            yield sparklines_figure(own)
        else:
            names = [name for name in compared_metrics(own) if like in name]
            if not names:
                yield f"No number that all of these runs have is called like {like!r}."
            for name in names[:3]:
                yield metric_figure(own, name)
            yield f"{len(names)} metrics: {', '.join(names)}"

    return Panel("runs", dials, show)


def _report(chosen: list[Run]) -> Iterator[Part]:
    """The first chosen run's report: a browser opens no file for a page of a server."""
    if not chosen:
        yield "Choose a run."
        return
    path = chosen[0].folder / "report.html"
    yield str(path)
    if path.exists():
        yield Page(f"Report of {chosen[0].folder.name}", path.read_text(encoding="utf-8"))
    else:
        yield "This run has no report: it was no job, or it is running."


def _latest_two(held: dict[str, Run]) -> tuple[str, ...]:
    """The latest run and the one before it of the same notebook; jobs, if any, have parameters."""
    by_notebook: dict[str, list[str]] = {}
    jobs_first = sorted(held.items(), key=lambda each: each[1].manifest is None)
    for name, run in jobs_first:
        own = by_notebook.setdefault(run.notebook, [])
        own.append(name)
        if len(own) == 2:
            return tuple(own)
    return ()
