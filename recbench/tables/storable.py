"""Frames in types that a Delta table can hold, without losing a value."""

import polars as pl

__all__ = ["storable"]

AS_TEXT = {pl.Null, pl.Categorical, pl.Enum, pl.Time, pl.Int128, pl.UInt128}
WIDER = {pl.UInt8: pl.Int16, pl.UInt16: pl.Int32, pl.UInt32: pl.Int64}
INT64_MAX = 2**63 - 1


def storable(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with columns of other types turned into the nearest that Delta knows.

    Unsigned integers become the next wider signed ones, or text where they do not fit into int64;
    instants become microseconds, in UTC where they have a zone; durations become int64
    microseconds; categories and times of day become text. All other columns stay as they are.
    """
    return frame.with_columns(_stored(column) for column in frame.iter_columns())


def _stored(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    base = dtype.base_type()
    if base in AS_TEXT:
        return column.cast(pl.String)
    if base in WIDER:
        return column.cast(WIDER[base])
    if dtype == pl.UInt64:
        fits = not (column > INT64_MAX).any()
        return column.cast(pl.Int64 if fits else pl.String)
    if dtype == pl.Duration:
        return column.dt.total_microseconds()
    if isinstance(dtype, pl.Datetime):
        instant = column.dt.cast_time_unit("us")
        return instant.dt.convert_time_zone("UTC") if dtype.time_zone else instant
    return column
