"""The data explorer: any part of a log, seen by time, gaps, concentration and drift."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, cast

import ipywidgets
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.tables import shape
from recbench.widgets import events as figures
from recbench.widgets.chosen import chosen, chosen_table
from recbench.widgets.live.panel import Panel
from recbench.widgets.live.typed import as_ids
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["data_explorer"]

N_EDGES = 100  # places where the time range can begin or end
N_PERIODS = 10
N_ROWS = 30
WIDE = {"description_width": "initial"}
VIEWS: dict[str, Callable[[pl.DataFrame, int], "Figure"]] = {
    "events per day": lambda part, _k: figures.days_figure(shape.events_per_day(part)),
    "gaps between events": lambda part, _k: figures.gaps_figure(shape.gaps_s(part)),
    "events at one instant": lambda part, _k: figures.same_instant_figure(shape.same_instant(part)),
    "concentration": lambda part, _k: figures.concentration_figure(shape.concentration(part)),
    "drift": lambda part, k: figures.drift_figure(
        shape.drift(part, k=k, n_periods=N_PERIODS), k=k, n_items=part[c.ITEM_ID].n_unique()
    ),
}
ROWS = "rows"


def data_explorer(events: pl.DataFrame) -> Panel:
    """Dials for a range of time, users, items, and what to look at.

    Args:
        events: canonical, one row or more.
    """
    edges = _edges(events)
    typed = {"continuous_update": False, "style": WIDE}
    dials = {
        "span": ipywidgets.SelectionRangeSlider(
            options=[(f"{edge:%Y-%m-%d %H:%M}", edge) for edge in edges],
            index=(0, len(edges) - 1),
            description="time, UTC",
            layout=ipywidgets.Layout(width="30em"),
            **typed,
        ),
        "users": ipywidgets.Text(description="users", placeholder="all; or ids: 1, 2", **typed),
        "items": ipywidgets.Text(description="items", placeholder="all; or ids: 1, 2", **typed),
        "view": ipywidgets.Dropdown(options=[*VIEWS, ROWS], description="look at"),
        "k": ipywidgets.IntSlider(
            value=20, min=1, max=100, description="top list of drift", **typed
        ),
    }

    def show(
        span: tuple[datetime, datetime], users: str, items: str, view: str, k: int
    ) -> Iterator[Part]:
        first, last = span
        part = chosen(
            events,
            first=first,
            last=None if last == edges[-1] else last,
            user_ids=as_ids(users, what="user"),
            item_ids=as_ids(items, what="item"),
        )
        if not len(part):
            raise InputError("There is no event of these users and items in this time")
        yield Table(chosen_table(part, events))
        yield Table(part.head(N_ROWS)) if view == ROWS else VIEWS[view](part, k)

    return Panel("data", dials, show)


def _edges(events: pl.DataFrame) -> list[datetime]:
    """Instants that part the time from the first event to the last evenly, both among them."""
    first, last = cast("datetime", events[c.TS].min()), cast("datetime", events[c.TS].max())
    if first == last:
        return [first, last]
    step = (last - first) / N_EDGES
    return [*(first + step * place for place in range(N_EDGES)), last]
