"""What a file's columns are taken for, and the events that come of it."""

from datetime import datetime

import polars as pl

from recbench import columns as c
from recbench.datasets import ColumnNames
from recbench.errors import InputError
from recbench.tables.schema import Checked, check_events

__all__ = ["events_as_named", "first_events", "names_table"]

WORDS = {c.USER_ID: "who", c.ITEM_ID: "what", c.TS: "when"}
N_VALUES, N_ROWS = 3, 5


def names_table(frame: pl.DataFrame, names: ColumnNames) -> pl.DataFrame:
    """``name, column, type, first values``: a row a name; what has none is told by ``""``.

    Args:
        frame: as the file holds it.
        names: of its columns.
    """
    rows = []
    for name in dict.fromkeys([*WORDS, *names.columns]):
        column = names.columns.get(name, "")
        held = frame[column] if column in frame.columns else pl.Series([], dtype=pl.Null)
        values = ", ".join(str(value) for value in held.drop_nulls().head(N_VALUES))
        rows.append((name, column, str(held.dtype) if column else "", values))
    schema = dict.fromkeys(("name", "column", "type", "first values"), pl.String)
    return pl.DataFrame(rows, schema=schema, orient="row")


def events_as_named(
    frame: pl.DataFrame, names: ColumnNames, *, source: str, now: datetime
) -> Checked:
    """The rows under these names, checked as any log is.

    Args:
        frame: as the file holds it.
        names: of its columns.
        source: what messages call it.
        now: events later than a day after it are set aside.

    Raises:
        InputError: nothing says who, what or when, or no row can be used.
    """
    if missing := [f"{name} ({WORDS[name]})" for name in WORDS if name not in names.columns]:
        raise InputError(
            f"{source}: say which column is {' and which is '.join(missing)}; "
            f"it has {frame.columns}"
        )
    return check_events(names.apply(frame, source=source), source=source, now=now)


def first_events(checked: Checked) -> pl.DataFrame:
    """The first events in time, as every model will read them."""
    order = [*c.EVENT_DTYPES, c.USER_KEY, c.ITEM_KEY, c.TITLE]
    derived = {c.EVENT_ID, c.ARRIVAL_TS}
    shown = [name for name in order if name in checked.accepted.columns and name not in derived]
    return checked.accepted.select(shown).head(N_ROWS)
