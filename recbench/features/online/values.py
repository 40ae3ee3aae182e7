"""Columns of events as numbers and back: strings by code, instants as microseconds."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError, SchemaError
from recbench.features.online.arrays import Array, Integers
from recbench.features.online.columns import NULL
from recbench.features.online.plan import CATEGORY_JUMP

__all__ = ["DTYPES", "Strings", "ValueTypes"]

DTYPES = {
    str(dtype): dtype
    for dtype in (
        *(pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(), pl.UInt8(), pl.UInt16(), pl.UInt32()),
        *(pl.Float32(), pl.Float64(), pl.Boolean(), pl.String(), c.INSTANT),
    )
}


class Strings:
    """Strings by code, in the order in which they first came."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.strings)

    def code(self, string: str) -> int:
        """The string's code; -1 where it never came."""
        return self._codes.get(string, -1)

    def add(self, string: str) -> int:
        """The string's code, a new one where it never came."""
        code = self._codes.setdefault(string, len(self.strings))
        if code == len(self.strings):
            self.strings.append(string)
        return code

    def extend(self, strings: Iterable[str]) -> None:
        """Give the next codes to strings that never came."""
        for string in strings:
            self.add(string)

    def codes(self, series: pl.Series) -> Integers:
        """(N,) codes, of new strings new ones; ``NULL`` for null."""
        unique = series.unique(maintain_order=True)
        codes = [NULL if string is None else self.add(string) for string in unique]
        return series.replace_strict(unique, codes, return_dtype=pl.Int64).to_numpy()


class ValueTypes:
    """What kind of values each column has: known from the first rows that have it.

    Args:
        summed: columns that features add up, average or compare: numbers or booleans.
    """

    def __init__(self, summed: Iterable[str]) -> None:
        self.dtypes: dict[str, pl.DataType] = {CATEGORY_JUMP: pl.Int64()}
        self.strings: dict[str, Strings] = {}
        self._summed = frozenset(summed)
        self._converted: set[str] = set()  # kept as integers, but not given back as such

    def encoded(self, events: pl.DataFrame, name: str) -> Array:
        """(N,) int64 with ``NULL`` for null, or float64 with NaN; all null without the column.

        Raises:
            SchemaError: the column's dtype is none that can be kept, or not what it was before.
            InputError: a value is NaN or the smallest int64.
        """
        if name not in events.columns or events[name].dtype == pl.Null:
            return np.full(len(events), NULL)
        series = events[name]
        self.learn(name, series.dtype)
        if series.dtype == pl.String:
            return self.strings_of(name).codes(series)
        if series.dtype.is_float():
            return _floats(series)
        return _integers(series)

    def dtype(self, name: str) -> pl.DataType:
        """The column's dtype; what is usual where none came yet."""
        return self.dtypes.get(name) or c.EVENT_DTYPES.get(name, pl.Null())

    def sum_dtype(self, name: str) -> pl.DataType:
        """What the column's values add up to."""
        return pl.Float64() if self.dtype(name).is_float() else pl.Int64()

    def strings_of(self, name: str) -> Strings:
        """The codes of a column of strings."""
        return self.strings.setdefault(name, Strings())

    def decoded(self, name: str, values: list[Any]) -> list[Any]:
        """What encoded values stand for; None stays None."""
        if name in self.strings:
            strings = self.strings[name].strings
            return [None if value is None else strings[value] for value in values]
        if name in self._converted:
            return pl.Series(values, dtype=pl.Int64).cast(self.dtypes[name]).to_list()
        return values

    def learn(self, name: str, dtype: pl.DataType) -> None:
        """Take the column's dtype for what it is from now on."""
        known = self.dtypes.get(name)
        if known == dtype:
            return
        if known is not None:
            raise SchemaError(f"`{name}` was {known} in earlier events and is {dtype} now")
        if str(dtype) not in DTYPES:
            raise SchemaError(f"`{name}` cannot be kept: its dtype is {dtype}, not of {[*DTYPES]}")
        if name in self._summed and not (dtype.is_numeric() or dtype == pl.Boolean):
            raise SchemaError(f"`{name}` cannot be added up: its dtype is {dtype}")
        self.dtypes[name] = dtype
        if dtype in {pl.Boolean(), c.INSTANT}:
            self._converted.add(name)


def _floats(series: pl.Series) -> Array:
    values = series.cast(pl.Float64)
    if values.is_nan().any():
        raise InputError(f"`{series.name}` holds NaN; what is unknown is null")
    return values.fill_null(float("nan")).to_numpy()


def _integers(series: pl.Series) -> Integers:
    values = series.cast(pl.Int64)
    if values.min() == NULL:
        raise InputError(f"`{series.name}` holds {NULL}, which stands for null here; use null")
    return (values.fill_null(NULL) if values.null_count() else values).to_numpy()
