"""Bring a frame to the canonical schema: what fits is cast, bad rows are set aside with a reason.

A column that cannot be used at all is an error; a row that cannot be used is counted and kept
in a side table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import SchemaError
from recbench.tables.event_ids import hashed_ids
from recbench.tables.instants import utc_instants
from recbench.tables.storable import storable

__all__ = ["Checked", "check_events", "check_items"]

CLOCK_SLACK = timedelta(days=1)  # sources' clocks and time zones are not exact
REQUIRED = (c.USER_ID, c.ITEM_ID, c.TS)
KEYS_OF_ANY_TYPE = {c.EVENT_ID, c.REQUEST_ID}
LARGEST_EXACT = 2**53  # beyond it a float no longer tells neighbouring integers apart
EPOCH_HINT = "for seconds since the epoch: pl.from_epoch(column, time_unit='s')"
DAY_HINT = "if midnight UTC is meant: column.cast(pl.Datetime('us', 'UTC'))"


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Rows that can be used, and those that cannot, each with its ``reason``."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame

    def reasons(self) -> dict[str, int]:
        """Rows set aside, by reason."""
        counts = self.rejected[c.REASON].value_counts().sort(c.REASON)
        return dict(counts.iter_rows())


def check_events(
    frame: pl.DataFrame, *, source: str, now: datetime, identity: str | None = None
) -> Checked:
    """Canonical events from ``frame``; further columns pass through.

    Missing ``event_id``: a 64-bit hash of (identity, user, item, ts, ordinal among equals).
    Missing ``arrival_ts``: ``ts``. No column ``clicked``: all true; a null in it is nobody's click
    and nobody's refusal, and is set aside. Naive times are UTC.

    Args:
        frame: at least ``user_id``, ``item_id`` and ``ts``.
        source: what messages call the log.
        now: events later than a day after it are set aside.
        identity: of the log, part of derived event ids; default: ``source``.

    Raises:
        SchemaError: a required column is missing or of an unusable type, or there are no rows.
    """
    _require(frame, REQUIRED, source=source)
    frame = frame.with_row_index(c.SOURCE_ROW) if c.SOURCE_ROW not in frame.columns else frame
    frame = _cast(frame, {c.SOURCE_ROW: pl.Int64()}, source=source)
    cast = _cast(frame, c.EVENT_DTYPES, source=source)
    never_null = (*REQUIRED, c.EVENT_ID, c.CLICKED)
    unusable = _unusable(frame, cast, c.EVENT_DTYPES, required=never_null)
    if c.CLICKED not in cast.columns:
        cast = cast.with_columns(pl.lit(True).alias(c.CLICKED))
    arrival = pl.col(c.ARRIVAL_TS) if c.ARRIVAL_TS in cast.columns else pl.lit(None, c.INSTANT)
    cast = cast.with_columns(arrival.fill_null(pl.col(c.TS)).alias(c.ARRIVAL_TS))
    if c.EVENT_ID not in cast.columns:
        cast = cast.with_columns(_derived_event_ids(cast, identity or source).alias(c.EVENT_ID))
    future = (pl.col(c.TS) > now + CLOCK_SLACK, "ts is in the future")
    reason = _first_reason([*unusable, future])
    checked = _parted(cast, frame, reason, key=c.EVENT_ID)
    if not len(checked.accepted):
        raise SchemaError(
            f"{source}: none of {len(frame)} rows can be used: {checked.reasons()}. "
            "Mend the file and give it again"
        )
    order = [name for name in c.EVENT_DTYPES if name in cast.columns]
    others = [name for name in cast.columns if name not in c.EVENT_DTYPES]
    accepted = checked.accepted.select(*order, *others).sort(c.TS, c.SOURCE_ROW)
    return Checked(accepted, checked.rejected)


def check_items(frame: pl.DataFrame, *, source: str) -> Checked:
    """Canonical items from ``frame``: one row an ``item_id``; further columns pass through.

    Raises:
        SchemaError: ``item_id`` is missing or of an unusable type.
    """
    _require(frame, (c.ITEM_ID,), source=source)
    cast = _cast(frame, c.ITEM_DTYPES, source=source)
    reason = _first_reason(_unusable(frame, cast, c.ITEM_DTYPES, required=(c.ITEM_ID,)))
    return _parted(cast, frame, reason, key=c.ITEM_ID)


def _require(frame: pl.DataFrame, names: tuple[str, ...], *, source: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise SchemaError(
            f"{source}: column{'s' * (len(missing) > 1)} {missing} missing; it has "
            f"{frame.columns}. Rename what fits, or add it"
        )
    if not len(frame):
        raise SchemaError(f"{source}: there are no rows")


def _cast(frame: pl.DataFrame, dtypes: dict[str, pl.DataType], *, source: str) -> pl.DataFrame:
    """Every canonical column at its dtype; what does not fit becomes null."""
    casts = []
    for name, wanted in dtypes.items():
        if name not in frame.columns:
            continue
        column = frame[name]
        if name in KEYS_OF_ANY_TYPE and column.dtype == pl.String:
            continue
        converted = _converted(column, wanted, source=source)
        if len(column) > column.null_count() and converted.null_count() == len(column):
            raise SchemaError(
                f"{source}: no value of `{name}` can be read as {wanted}, "
                f"the first is {column.drop_nulls()[0]!r}"
            )
        casts.append(converted)
    return frame.with_columns(casts)


def _converted(column: pl.Series, wanted: pl.DataType, *, source: str) -> pl.Series:
    have = column.dtype
    if have == pl.Null:
        return column.cast(wanted)
    if isinstance(wanted, pl.Datetime):
        return _instants(column, source=source)
    fits = (
        (wanted.is_integer() and (have.is_numeric() or have == pl.String))
        or (wanted.is_float() and have.is_numeric())
        or (wanted == pl.Boolean and (have == pl.Boolean or have.is_numeric()))
        or (wanted == pl.String and have in {pl.String, pl.Categorical, pl.Enum})
    )
    if not fits:
        raise SchemaError(
            f"{source}: `{column.name}` must be {wanted}, got {have}; convert or rename it first"
        )
    if wanted.is_integer() and have.is_float():
        exact = (column == column.round()) & (column.abs() <= LARGEST_EXACT)
        column = column.set(~exact.fill_null(False), None)
    if wanted == pl.Boolean and have.is_numeric():
        column = column.set(~((column == 0) | (column == 1)).fill_null(False), None)
    return column.cast(wanted, strict=False)


def _instants(column: pl.Series, *, source: str) -> pl.Series:
    have = column.dtype
    if have == pl.String:
        return utc_instants(column)
    if isinstance(have, pl.Datetime):
        aware = column if have.time_zone else column.dt.replace_time_zone("UTC")
        return aware.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if have == pl.Date and column.name == c.PUBLISHED_AT:  # known by the day, as a rule
        return column.cast(c.INSTANT)
    hint = DAY_HINT if have == pl.Date else EPOCH_HINT
    raise SchemaError(
        f"{source}: `{column.name}` must be a datetime, got {have}; convert it first, {hint}"
    )


def _unusable(
    frame: pl.DataFrame,
    cast: pl.DataFrame,
    dtypes: dict[str, pl.DataType],
    *,
    required: tuple[str, ...],
) -> list[tuple[pl.Series, str]]:
    conditions: list[tuple[pl.Series, str]] = []
    for name, wanted in dtypes.items():
        if name not in frame.columns:
            continue
        was_null, is_null = frame[name].is_null(), cast[name].is_null()
        conditions.append((is_null & ~was_null, f"{name} is not {_kind(wanted)}"))
        if name in required:
            conditions.append((was_null, f"{name} is null"))
    return conditions


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "a time"
    return f"{'an' if dtype.is_integer() else 'a'} {str(dtype).lower()}"


def _first_reason(conditions: Sequence[tuple[pl.Expr | pl.Series, str]]) -> pl.Expr:
    """The reason of the first condition that holds, else null."""
    return pl.coalesce(
        pl.when(condition).then(pl.lit(text)) for condition, text in conditions
    ).alias(c.REASON)


def _parted(cast: pl.DataFrame, raw: pl.DataFrame, reason: pl.Expr, *, key: str) -> Checked:
    """The usable rows, one a ``key``; the first row of a key is the one that stays."""
    usable = reason.is_null()
    first = pl.when(usable).then(pl.col(key)).is_first_distinct()
    again = pl.when(usable & ~first).then(pl.lit(f"{key} occurs twice"))
    reasons = cast.select(pl.coalesce(again, reason).alias(c.REASON))[c.REASON]
    bad = reasons.is_not_null()
    return Checked(storable(cast.filter(~bad)), storable(raw.with_columns(reasons).filter(bad)))


def _derived_event_ids(events: pl.DataFrame, source: str) -> pl.Series:
    keys = [c.USER_ID, c.ITEM_ID, c.TS]
    parts = events.select(
        pl.col(c.USER_ID).fill_null(0),
        pl.col(c.ITEM_ID).fill_null(0),
        pl.col(c.TS).dt.epoch("us").fill_null(0),
        pl.int_range(pl.len(), dtype=pl.Int64).over(keys).alias("ordinal"),
    )
    return hashed_ids(parts, source=source)
