"""The latency explorer: loads of a service, by percentile or over time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ipywidgets
import polars as pl

from recbench.errors import InputError
from recbench.widgets.live.panel import Panel
from recbench.widgets.serving import latency_figure, latency_over_time_figure, latency_table
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["latency_explorer"]

PERCENTILES, OVER_TIME = "share that took longer", "over time"
WIDE = {"description_width": "initial"}


def latency_explorer(
    loads: Mapping[str, pl.DataFrame],
    *,
    swaps_s: Mapping[str, Sequence[float]] | None = None,
    bar_ms: float = 8.0,
) -> Panel:
    """Dials for a load, another one beside it, the part of its time, and the bar.

    Args:
        loads: by name, the frames of ``Answers``; one or more.
        swaps_s: by load, when a release was published, on the load's clock.
        bar_ms: what p99 must stay below, at first.

    Raises:
        InputError: no loads.
    """
    if not loads:
        raise InputError("`loads` is empty: give the frames of one load or more")
    dials = _dials(loads, bar_ms=bar_ms)

    def show(
        load: str, beside: str, view: str, span: tuple[float, float], bar_ms: float
    ) -> Iterator[Part]:
        within = pl.col("due_s").is_between(*span)
        parts = {name: loads[name].filter(within) for name in dict.fromkeys([load, beside]) if name}
        yield Table(latency_table(parts))
        if view == OVER_TIME:
            swaps = [at for at in (swaps_s or {}).get(load, ()) if span[0] <= at <= span[1]]
            yield latency_over_time_figure(parts[load], swaps, bar_ms=bar_ms)
        else:
            answered = {
                name: part.filter(pl.col("error").is_null())["latency_ms"].to_numpy()
                for name, part in parts.items()
            }
            yield latency_figure(answered, bar_ms=bar_ms)

    return Panel("latency", dials, show)


def _dials(loads: Mapping[str, pl.DataFrame], *, bar_ms: float) -> dict[str, Any]:
    names = list(loads)
    longest = max(float(frame["due_s"].max() or 0.0) for frame in loads.values())  # type: ignore[arg-type]  # a float column
    smooth = {"continuous_update": False, "style": WIDE}
    return {
        "load": ipywidgets.Dropdown(options=names, description="load"),
        "beside": ipywidgets.Dropdown(
            options=[("no other", ""), *((name, name) for name in names)], description="beside"
        ),
        "view": ipywidgets.Dropdown(options=[PERCENTILES, OVER_TIME], description="look at"),
        "span": ipywidgets.FloatRangeSlider(
            value=(0.0, longest),
            min=0.0,
            max=longest,
            step=longest / 100 or 1.0,
            description="seconds",
            **smooth,
        ),
        "bar_ms": ipywidgets.BoundedFloatText(
            value=bar_ms, min=0.01, max=60_000.0, description="bar, ms", **smooth
        ),
    }
