"""How fresh what is served is, and what the gate said of each release: tables and a figure."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from recbench import columns as c
from recbench.refresh import Manifest, Registry
from recbench.widgets.durations import duration
from recbench.widgets.style import COLOURS, legend_below, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["freshness_figure", "freshness_table", "releases_table"]

SHOWN = 30  # releases of the figure
MARGIN = timedelta(hours=1)
VERDICT_LOOKS = {  # colour and marker of each verdict; others are grey
    "publish": (COLOURS["highlight"], "o"),
    "hold": (COLOURS["reference"], "X"),
    "full rebuild": (COLOURS["more"], "s"),
}


def freshness_table(registry: Registry, *, newest: datetime | None, now: datetime) -> pl.DataFrame:
    """``fact, value``: what is served, how far its knowledge reaches, how late that is.

    Lag is event time: from the release's watermark to the newest event in the lake. A log that was
    recorded long ago has a small lag and an old watermark.

    Args:
        registry: of the workspace; without a current release the table says so.
        newest: time of the newest event in the lake of the served log; None: unknown.
        now: what "ago" is told from.
    """
    current = registry.current()
    if current is None:
        return pl.DataFrame({"fact": ["served"], "value": ["nothing yet"]})
    manifest = registry.open(verify=False).manifest
    watermark, created = _instant(manifest.watermark), _instant(manifest.created)
    facts = {
        "served": current,
        "data": manifest.data,
        "watermark": f"{_shown(watermark)}, {_ago(watermark, now)}",
        "newest event in the lake": "unknown" if newest is None else _shown(newest),
        "lag of the release": "unknown" if newest is None else duration(_late_s(newest, watermark)),
        "last refresh": f"{_shown(created)}, {_ago(created, now)}",
        "verdict of the gate": _verdict(manifest),
        "before it": next(iter(registry.earlier()), "none to roll back to"),
    }
    return pl.DataFrame({"fact": list(facts), "value": list(facts.values())})


def releases_table(registry: Registry) -> pl.DataFrame:
    """Every release that can be read, the newest first; ``*`` marks the current one.

    ``"", release, created, watermark, knows more`` (event time since its parent's watermark),
    ``parent, verdict, reasons``.
    """
    held = registry.releases()
    current = registry.current()
    watermarks = {manifest.release: _instant(manifest.watermark) for manifest in held}
    rows = [
        (
            "*" if manifest.release == current else "",
            manifest.release,
            _shown(_instant(manifest.created)),
            _shown(watermarks[manifest.release]),
            _gain(watermarks[manifest.release], watermarks.get(manifest.parent or "")),
            manifest.parent,
            _verdict(manifest),
            "; ".join(manifest.gate.get("reasons", [])),
        )
        for manifest in held
    ]
    names = ["", "release", "created", c.WATERMARK, "knows more", "parent", "verdict", "reasons"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def freshness_figure(registry: Registry, *, newest: datetime | None) -> "Figure":
    """How far each release's knowledge reaches, in the order they were made, by verdict.

    Args:
        registry: of the workspace.
        newest: as for ``freshness_table``.
    """
    from matplotlib.dates import ConciseDateFormatter

    held = registry.releases()[:SHOWN][::-1]
    figure, axes = new_figure(_finding(registry, newest))
    places = {manifest.release: number for number, manifest in enumerate(held, start=1)}
    for verdict in dict.fromkeys(_verdict(manifest) for manifest in held):
        own = [manifest for manifest in held if _verdict(manifest) == verdict]
        colour, marker = VERDICT_LOOKS.get(verdict, (COLOURS["other"], "D"))
        xs = [places[manifest.release] for manifest in own]
        ys = [_instant(manifest.watermark) for manifest in own]
        axes.plot(xs, ys, marker, color=colour, label=verdict)  # type: ignore[arg-type]  # times
    current = registry.current()
    if current in places:
        axes.axvline(places[current], color=COLOURS["model"], linewidth=1, label="served")
    if newest is not None:
        when = newest.replace(tzinfo=UTC)
        label = "newest event in the lake"
        axes.axhline(when, color=COLOURS["other"], linestyle="--", label=label)  # type: ignore[arg-type]  # a time
    _look_at(axes, [_instant(manifest.watermark) for manifest in held], newest)
    axes.set_xlabel("release, in the order they were made")
    axes.set_ylabel("watermark: knows events until, UTC")
    written = ConciseDateFormatter(axes.yaxis.get_major_locator())  # type: ignore[no-untyped-call]  # matplotlib has no types here
    axes.yaxis.set_major_formatter(written)
    if held:
        axes.set_xticks(range(1, len(held) + 1, max(1, len(held) // 10)))
        legend_below(figure, ncols=5)
    return figure


def _look_at(axes: "Axes", watermarks: list[datetime], newest: datetime | None) -> None:
    """The times that are there, and a tenth beyond: at least an hour."""
    times = watermarks if newest is None else [*watermarks, newest]
    if times:
        margin = max((max(times) - min(times)) / 10, MARGIN)
        axes.set_ylim(min(times) - margin, max(times) + margin)  # type: ignore[arg-type]  # times


def _finding(registry: Registry, newest: datetime | None) -> str:
    if registry.current() is None:
        return "Nothing is served yet"
    watermark = _instant(registry.open(verify=False).manifest.watermark)
    if newest is None:
        return f"What is served knows events until {_shown(watermark)}"
    late_s = _late_s(newest, watermark)
    if late_s <= 0:
        return "What is served knows every event in the lake"
    return f"What is served is {duration(late_s)} behind the lake"


def _verdict(manifest: Manifest) -> str:
    return str(manifest.gate.get("verdict", "unknown"))


def _gain(watermark: datetime, parent: datetime | None) -> str | None:
    if parent is None:
        return None
    seconds = (watermark - parent).total_seconds()
    return duration(seconds) if seconds >= 0 else f"{duration(-seconds)} less"


def _late_s(newest: datetime, watermark: datetime) -> float:
    return max(0.0, (newest - watermark).total_seconds())


def _ago(when: datetime, now: datetime) -> str:
    return f"{duration(max(0.0, (now - when).total_seconds()))} ago"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _shown(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"
