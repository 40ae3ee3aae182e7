"""Names, texts, types and spans of time as Flink's SQL writes them."""

from datetime import timedelta
from typing import cast

import polars as pl

from recbench.errors import SchemaError

__all__ = ["LONGEST_INTERVAL", "interval", "name", "sql_type", "text"]

MILLISECOND = timedelta(milliseconds=1)
LONGEST_INTERVAL = timedelta(days=999)  # Flink takes three digits of days


def name(column: str) -> str:
    """A column's name, quoted."""
    return "`" + column.replace("`", "``") + "`"


def text(value: str) -> str:
    """A text literal."""
    return "'" + value.replace("'", "''") + "'"


def interval(span: timedelta) -> str:
    """An interval literal of the whole milliseconds in ``span``, LONGEST_INTERVAL at most."""
    seconds, rest = divmod(span // MILLISECOND % 86_400_000, 1000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
    return f"INTERVAL '{span.days} {clock}' DAY(3) TO SECOND(3)"


def sql_type(dtype: pl.DataType, *, column: str) -> str:
    """The type of Flink's that holds a column of ``dtype``.

    Raises:
        SchemaError: there is none for features.
    """
    if isinstance(dtype, pl.List):
        return f"ARRAY<{sql_type(cast(pl.DataType, dtype.inner), column=column)}>"
    if dtype.is_integer() or dtype == pl.Null:
        return "BIGINT"
    if dtype.is_float() or dtype.is_decimal():
        return "DOUBLE"
    if dtype == pl.Boolean:
        return "BOOLEAN"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "STRING"
    raise SchemaError(
        f"`{column}` cannot go through Flink: its dtype is {dtype}; expected a number, a boolean "
        "or a string"
    )
