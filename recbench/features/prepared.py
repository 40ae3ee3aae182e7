"""What every engine starts from: which rows count, as events and as clicks, and their values."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from recbench import columns as c
from recbench.errors import SchemaError
from recbench.features.definitions import (
    DecayedPopularity,
    Feature,
    LastValues,
    SinceLast,
    WindowFeature,
)

__all__ = ["COUNTS", "VALUE", "decay_us", "prepared", "result_dtype"]

# Columns that live only inside a query: whether a row counts, and, after VALUE, a value's name.
COUNTS, VALUE = {"events": "__events", "clicks": "__clicks"}, "__value_"

# Popularity is summed in spans of so many half-lives, in which 2 ** elapsed stays far from
# overflow; clicks more than a whole span back weigh less than 2 ** -256 and count as nothing.
HALF_LIVES, LONGEST_SPAN = 256, 1 << 62

OF_NUMBERS = frozenset({"sum", "mean", "min", "max"})


def prepared(schema: pl.Schema, features: Sequence[Feature]) -> list[pl.Expr]:
    """The columns COUNTS and the values that ``features`` name, each with the dtype it has.

    A late row counts as nothing. Without ``clicked`` every row is a click; any other value that
    the log lacks is null.

    Args:
        schema: of the log and its derived values.
        features: what is to be computed.

    Raises:
        SchemaError: a value has no sum, mean, minimum or maximum.
    """
    in_time = pl.lit(True)
    if c.WATERMARK in schema:
        in_time = (pl.col(c.TS) >= pl.col(c.WATERMARK)).fill_null(True)
    clicked = pl.col(c.CLICKED) if c.CLICKED in schema else pl.lit(True)
    columns = {
        COUNTS["events"]: in_time,
        COUNTS["clicks"]: in_time & clicked.fill_null(False),
    }
    for feature in features:
        name = _value_of(feature)
        if name is not None:
            _check(feature, schema.get(name, pl.Null()))
            value = pl.col(name) if name in schema else pl.lit(None)
            columns[f"{VALUE}{name}"] = clicked if name == c.CLICKED else value
    return [column.alias(name) for name, column in columns.items()]


def result_dtype(feature: Feature, schema: pl.Schema) -> pl.DataType:
    """What the feature's values are: integers and booleans add up to Int64, floats to Float64.

    Args:
        feature: any.
        schema: with the columns that ``prepared`` made.
    """
    if isinstance(feature, LastValues):
        return pl.List(schema[f"{VALUE}{feature.value}"])
    if isinstance(feature, DecayedPopularity):
        return pl.Float64()
    if isinstance(feature, SinceLast) or feature.aggregation not in OF_NUMBERS:
        return pl.Int64()
    value = schema[f"{VALUE}{feature.value}"]
    in_floats = feature.aggregation == "mean" or value.is_float() or value.is_decimal()
    return pl.Float64() if in_floats else pl.Int64()


def decay_us(feature: DecayedPopularity) -> tuple[int, int]:
    """The half-life and the length of the spans in which clicks are summed, microseconds."""
    half_life = feature.half_life // timedelta(microseconds=1)
    return half_life, min(HALF_LIVES * half_life, LONGEST_SPAN)


def _value_of(feature: Feature) -> str | None:
    return feature.value if isinstance(feature, WindowFeature | LastValues) else None


def _check(feature: Feature, dtype: pl.DataType) -> None:
    if not isinstance(feature, WindowFeature) or feature.aggregation not in OF_NUMBERS:
        return
    if not (dtype.is_numeric() or dtype in {pl.Boolean(), pl.Null()}):
        raise SchemaError(
            f"{feature.name}: `{feature.aggregation}` needs numbers, `{feature.value}` is {dtype}"
        )
