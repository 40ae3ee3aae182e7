"""Frames in types that a Delta table can hold, without losing a value."""

from collections import Counter
from typing import cast

import polars as pl

from recbench.errors import SchemaError

__all__ = ["storable"]

AS_TEXT = {
    pl.Null,
    pl.Categorical,
    pl.Enum,
    pl.Time,
    pl.UInt64,
    pl.Int128,
    pl.UInt128,
}
WIDER = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.Float16: pl.Float32(),
}
INT64_MAX = 2**63 - 1


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with columns of other types turned into the nearest that Delta knows.

    Unsigned integers become the next wider signed ones, or text where they do not fit into int64;
    instants become microseconds, in UTC where they have a zone; durations become int64
    microseconds; categories and times of day become text; arrays become lists. So do the values
    within lists and structs, where unsigned 64-bit integers always become text. All other columns
    stay as they are.

    Raises:
        SchemaError: two columns differ by upper and lower case only.
    """
    counts = Counter(name.lower() for name in frame.columns)
    alike = [name for name in frame.columns if counts[name.lower()] > 1]
    if alike:
        raise SchemaError(f"Columns {alike} differ by upper and lower case only; rename one")
    return frame.with_columns(_stored(column) for column in frame.iter_columns())


def _stored(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype == pl.UInt64 and not (column > INT64_MAX).any():
        return column.cast(pl.Int64)
    # durations in two steps: the cast to integers counts in the unit that the column has
    in_microseconds = _nearest(dtype, duration=pl.Duration("us"))
    return column.cast(in_microseconds).cast(_nearest(in_microseconds, duration=pl.Int64()))


def _nearest(dtype: pl.DataType, *, duration: pl.DataType) -> pl.DataType:
    base = dtype.base_type()
    if base in AS_TEXT:
        return pl.String()
    if base in WIDER:
        return WIDER[base]
    if isinstance(dtype, pl.Duration):
        return duration
    if isinstance(dtype, pl.Datetime):
        return pl.Datetime("us", "UTC" if dtype.time_zone else None)
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_nearest(cast("pl.DataType", dtype.inner), duration=duration))
    if isinstance(dtype, pl.Struct):
        inner = {name: cast("pl.DataType", kind) for name, kind in dtype.to_schema().items()}
        return pl.Struct({name: _nearest(kind, duration=duration) for name, kind in inner.items()})
    return dtype
