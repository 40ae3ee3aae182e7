"""Aggregates over ranges of positions, a range a row, without a loop over the rows."""

import numpy as np
import numpy.typing as npt

__all__ = ["folded", "n_distinct", "summed"]

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64 | np.float64]


def summed(running: Ints, first: Ints, end: Ints) -> Ints:
    """(Q,) sums over [first, end), exact.

    Args:
        running: (P + 1,) sums of what stands before each position, and before the end.
        first: (Q,) positions.
        end: (Q,) positions, not before ``first``.
    """
    return running[end] - running[first]


def folded(
    operation: np.ufunc, values: Numbers, first: Ints, end: Ints, *, nothing: float
) -> Numbers:
    """(Q,) ``operation`` over the values of [first, end); ``nothing`` for an empty range.

    A range is put together of blocks of 1, 2, 4, ... values. So its result depends on its own
    values alone, to the last bit, and holds no difference of two long sums.

    Args:
        operation: associative, such as ``np.add``.
        values: (P,).
        first: (Q,) positions.
        end: (Q,) positions, not before ``first``.
        nothing: neutral to the operation.
    """
    result = np.full(len(first), nothing, dtype=values.dtype)
    at, left, size = first.copy(), end - first, 1
    longest = int(left.max(initial=0))
    while size <= longest:
        taking = np.flatnonzero(left & size)
        result[taking] = operation(result[taking], values[at[taking]])
        at[taking] += size
        values = operation(values[:-size], values[size:])
        size *= 2
    return result


def n_distinct(codes: Ints, first: Ints, end: Ints) -> Ints:
    """(Q,) how many different codes stand in [first, end).

    Each position counts for those ranges in which it is the last of its code. As the ranges move
    on and never back, these follow one another.

    Args:
        codes: (P,) equal for equal values.
        first: (Q,) ascending positions.
        end: (Q,) ascending positions, not before ``first``.
    """
    order = np.argsort(codes, kind="stable")
    again = np.full(len(codes), len(codes) + 1)  # where the code stands next
    same = codes[order][1:] == codes[order][:-1]
    again[order[:-1][same]] = order[1:][same]
    position = np.arange(len(codes))
    enters = np.searchsorted(end, position, side="right")
    leaves = np.minimum(
        np.searchsorted(first, position, side="right"), np.searchsorted(end, again, side="right")
    )
    n_rows = len(first) + 1
    change = np.bincount(enters, minlength=n_rows) - np.bincount(leaves, minlength=n_rows)
    return np.cumsum(change)[:-1]
