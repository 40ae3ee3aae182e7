"""The rows that are considered for one query: which are left, and what each scores."""

import numpy as np

from recbench.index.protocol import Floats, Ints

__all__ = ["by_query", "outside", "products"]

BLOCK = 65_536  # rows that are gathered at once


def outside(rows: Ints, barred: Ints) -> Ints:
    """The rows that are not among the barred ones (N,), which are in ascending order."""
    if not len(barred):
        return rows
    at = barred.searchsorted(rows)
    at[at == len(barred)] = 0
    left: Ints = rows[barred[at] != rows]
    return left


def by_query(excluded: tuple[Ints, Ints] | None, n_queries: int) -> list[Ints]:
    """What each query may not be shown."""
    if excluded is None:
        return [np.empty(0, dtype=np.int64)] * n_queries
    if n_queries == 1:
        return [excluded[1]]
    order = np.argsort(excluded[0], kind="stable")
    ends = np.searchsorted(excluded[0][order], np.arange(1, n_queries))
    return np.split(excluded[1][order], ends)


def products(held: Floats, rows: Ints, query: Floats) -> Floats:
    """(N,) inner products with these rows."""
    if held.dtype == np.float32 and len(rows) > len(held) // 4:
        every: Floats = (held @ query)[rows]
        return every
    if len(rows) <= BLOCK:
        few: Floats = held[rows].astype(np.float32, copy=False) @ query
        return few
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    return np.concatenate([products(held, block, query) for block in blocks])
