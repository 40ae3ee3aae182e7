"""Many short runs of one long array at once: their positions, searches in them, and growth."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Integers", "flat_ranges", "grown", "lower_bounds"]

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]


def flat_ranges(begins: Integers, lengths: Integers) -> Integers:
    """The positions of runs one after the other: each ``begin``, ``begin + 1``, … in turn."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    at: Integers = np.arange(total) + np.repeat(begins - (ends - lengths), lengths)
    return at


def lower_bounds(values: Array, begins: Integers, ends: Integers, bounds: Array) -> Integers:
    """(N,) the first position of each run [begin, end) whose value is not below its bound.

    ``values`` ascend within each run. All runs are halved together, so the longest one decides how
    many steps it takes.
    """
    low, high = begins, ends
    for _ in range(int((ends - begins).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        # a run that is narrowed down may stand at the array's very end
        below = (low < high) & (values[np.minimum(middle, len(values) - 1)] < bounds)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return low


def grown(array: Array, size: int, *, fill: int | float | bool = 0) -> Array:
    """``array`` and after it ``fill``, ``size`` values in all."""
    larger = np.full(size, fill, dtype=array.dtype)
    larger[: len(array)] = array
    return larger
