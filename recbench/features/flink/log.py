"""A canonical log as a file that Flink reads."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features.definitions import Feature
from recbench.features.derived import derived_values
from recbench.features.flink.query import columns_of
from recbench.features.flink.tables import ARRIVAL, CLICK, LATE, MS, JsonLines

__all__ = ["written_log"]

MICROSECONDS = 1000  # in a millisecond


def written_log(events: pl.DataFrame, features: Sequence[Feature], *, path: Path) -> JsonLines:
    """The file at ``path``, with what ``features`` need of the log.

    Args:
        events: canonical, the rows in the order in which they came. A value that it lacks counts
            as null; without ``clicked`` every row is a click, without ``watermark`` none is late.
        features: what is to be computed.
        path: of the file.

    Raises:
        SchemaError: ``ts`` or an entity is missing.
        InputError: a name is taken, an instant is finer than a millisecond, or a value is not
            finite.
    """
    taken = [feature.name for feature in features if feature.name in events.columns]
    if taken:
        raise InputError(f"A feature needs a name of its own; taken in `events`: {taken}")
    needed = columns_of(features, events.columns)
    jumps = [name for name in derived_values(features) if name not in events.columns]
    keys = [c.TS, *(feature.entity for feature in features), *([c.USER_ID] if jumps else [])]
    missing = [key for key in dict.fromkeys(keys) if key not in events.columns]
    if missing:
        raise SchemaError(f"`events` need {missing}, but have {events.columns}")
    late = pl.col(c.TS) < pl.col(c.WATERMARK) if c.WATERMARK in events.columns else pl.lit(False)
    clicked = pl.col(c.CLICKED) if c.CLICKED in events.columns else pl.lit(True)
    rows = events.select(
        pl.int_range(pl.len()).alias(ARRIVAL),
        _milliseconds(events).alias(MS),
        late.fill_null(False).alias(LATE),
        clicked.fill_null(False).alias(CLICK),
        *(_held(events, column) for column in needed),
    )
    rows.write_ndjson(path)
    behind = rows.select((pl.col(MS).cum_max() - pl.col(MS)).max().fill_null(0)).item()
    return JsonLines(
        path=path,
        dtypes={column: rows.schema[column] for column in needed},
        disorder_ms=behind,
    )


def _milliseconds(events: pl.DataFrame) -> pl.Series:
    us = events[c.TS].cast(c.INSTANT).to_physical()
    finer = events[c.TS].filter(us % MICROSECONDS != 0)
    if len(finer):
        raise InputError(
            f"Flink keeps whole milliseconds, but {len(finer)} events have finer instants, such as "
            f"{finer[0].isoformat()}: truncate `ts`, or compute the features in batch"
        )
    return us // MICROSECONDS


def _held(events: pl.DataFrame, column: str) -> pl.Expr:
    """The column; where the log has none, clicks or nulls."""
    if column not in events.columns:
        return pl.lit(True if column == c.CLICKED else None).alias(column)
    values = events[column]
    if values.dtype.is_float() and not values.drop_nulls().is_finite().all():
        strange = values.filter(~values.is_finite())[0]
        raise InputError(f"`{column}` holds {strange}, which JSON has no way to write")
    return pl.col(column)
