"""The form that says which column of one's own file is which."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ipywidgets
import polars as pl

from recbench import columns as c
from recbench.datasets import CATALOGUE, ColumnNames
from recbench.datasets.column_names import missing_columns, names_path
from recbench.errors import InputError
from recbench.widgets.column_names import events_as_named, first_events
from recbench.widgets.live.panel import Panel
from recbench.widgets.shown import Part
from recbench.widgets.tables import Table

__all__ = ["column_form"]

N_ROWS = 10_000  # that the form looks at
NONE = ("none", "")
DIALS = {
    "user": (c.USER_ID, "who"),
    "item": (c.ITEM_ID, "what"),
    "ts": (c.TS, "when"),
    "clicked": (c.CLICKED, "clicked, 0 or 1"),
    "category": (c.CATEGORY, "category"),
    "title": (c.TITLE, "title"),
}
WIDE = {"description_width": "initial"}


def column_form(data: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Panel:
    """Dials for who, what and when in a Parquet file, and the events as they will be read.

    The columns are guessed at first, or as they were kept. *Keep* writes ``X.columns.json`` beside
    the file, which every notebook and command finds; the file stays as it is. What is no file, or
    has the canonical names, needs none, and only that is said.

    Args:
        data: as a notebook's ``data``.
        now: the clock.
    """
    path = Path(data).expanduser()
    kept = names_path(path)
    if data in CATALOGUE or not path.is_file():
        return Panel("columns", {}, lambda: [f"{data} needs no names: it is no Parquet file."])
    if not missing_columns(path) and not kept.exists():
        return Panel("columns", {}, lambda: [f"{path.name} has the names that are expected."])
    frame = pl.read_parquet(path, n_rows=N_ROWS)
    names = ColumnNames.beside(path) or ColumnNames.guessed(frame)
    said = ipywidgets.Label()
    said.add_class("rb-said")

    def show(ts_as: str, **columns: str) -> Iterator[Part]:
        chosen = _names(columns, ts_as)
        checked = events_as_named(frame, chosen, source=path.name, now=now())
        yield f"{len(checked.accepted):,} of the first {len(frame):,} rows can be used."
        for reason, count in checked.reasons().items():
            yield f"{count:,} cannot: {reason}."
        yield Table(first_events(checked))

    def keep(_button: Any) -> None:
        values = {name: dial.value for name, dial in panel.dials.items()}
        try:
            chosen = _names(values, values.pop("ts_as"))
            events_as_named(frame, chosen, source=path.name, now=now())
            said.value = f"Kept in {chosen.write(path)}. Now run this page again."
        except (InputError, OSError) as error:
            said.value = f"Not kept: {error}"

    button = ipywidgets.Button(description="Keep", icon="check", button_style="primary")
    button.on_click(keep)
    panel = Panel("columns", _dials(frame, names), show, buttons=[button, said])
    return panel


def _names(columns: dict[str, str], ts_as: str) -> ColumnNames:
    given = {canonical: columns[dial] for dial, (canonical, _) in DIALS.items() if columns[dial]}
    return ColumnNames(given, ts_as.strip())


def _dials(frame: pl.DataFrame, names: ColumnNames) -> dict[str, Any]:
    options = [NONE, *((name, name) for name in frame.columns)]
    dials: dict[str, Any] = {}
    for dial, (canonical, word) in DIALS.items():
        held = names.columns.get(canonical, "")
        value = held if held in frame.columns else ""
        dials[dial] = ipywidgets.Dropdown(
            options=options, value=value, description=word, style=WIDE
        )
    dials["ts_as"] = ipywidgets.Text(
        value=names.ts_as,
        description="times are written as",
        placeholder="s, ms, %d.%m.%Y; empty: as usual",
        continuous_update=False,
        style=WIDE,
        layout=ipywidgets.Layout(width="28em"),
    )
    return dials
