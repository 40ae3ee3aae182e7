"""One value an event in an array as narrow as its values allow."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from recbench.features.online.arrays import Array

__all__ = ["NULL", "Column", "null_of"]

NULL = int(np.iinfo(np.int64).min)  # stands for null where integers come in
WIDTHS: list[np.dtype[Any]] = [np.dtype(f"i{size}") for size in (1, 2, 4, 8)]


def null_of(dtype: np.dtype[Any]) -> int | float:
    """What stands for null: the smallest integer of the dtype, or NaN."""
    return float("nan") if dtype.kind == "f" else int(np.iinfo(dtype).min)


class Column:
    """Values by position: integers, widened when a larger one comes, or float64.

    It starts as bytes and turns to floats with the first ones, before which there are only nulls.
    """

    __slots__ = ("has_null", "null", "values")

    def __init__(self, values: Array, *, has_null: bool = True) -> None:
        self.values = values
        self.null = null_of(values.dtype)
        self.has_null = has_null  # False: no value is null, so that nobody needs to look

    def write(self, at: Array | slice, incoming: Array) -> None:
        """Put int64 (``NULL`` for null) or float64 (NaN for null) at the positions ``at``."""
        known = incoming == incoming if incoming.dtype.kind == "f" else incoming != NULL
        if not known.all():
            self.has_null = True
            self._fit(incoming[known])
            narrow = np.full(len(incoming), self.null, dtype=self.values.dtype)
            narrow[known] = incoming[known]
            self.values[at] = narrow
        else:
            self._fit(incoming)
            self.values[at] = incoming

    @classmethod
    def joined(cls, columns: Iterable["Column"]) -> Self:
        """One column of the values of several, one after the other."""
        parts = [column.known(slice(None)) for column in columns]
        if any(part.dtype.kind == "f" for part in parts):  # then the integers are nulls
            parts = [p if p.dtype.kind == "f" else np.full(len(p), np.nan) for p in parts]
        values = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
        column = cls(np.zeros(len(values), dtype=np.int8), has_null=False)
        column.write(slice(None), values)
        return column

    def known(self, at: Array | slice) -> Array:
        """The values at some positions as ``write`` takes them."""
        values = self.values[at]
        if values.dtype.kind == "f":
            return values
        return np.where(self.held(values), values.astype(np.int64), NULL)

    def held(self, values: Array) -> Array:
        """Which of some of the column's values are not null."""
        held: Array = values == values if self.values.dtype.kind == "f" else values != self.null
        return held

    def _fit(self, held: Array) -> None:
        now = self.values.dtype
        if not len(held) or now == np.float64:
            return
        if held.dtype.kind == "f":
            self._turn(np.dtype(np.float64))
            return
        low, high = int(held.min()), int(held.max())
        for width in WIDTHS[WIDTHS.index(now) :]:
            limits = np.iinfo(width)
            if limits.min < low and high <= limits.max:
                break
        if width != now:
            self._turn(width)

    def _turn(self, dtype: np.dtype[Any]) -> None:
        turned = self.values.astype(dtype)
        turned[self.values == self.null] = null_of(dtype)
        self.values, self.null = turned, null_of(dtype)
