"""The rows that are considered for each query: which are left, what each scores, which are best."""

from math import isnan
from typing import NamedTuple, Self

import numpy as np

from recbench.errors import InputError
from recbench.index.protocol import Bools, Floats, Ints

__all__ = ["Pairs", "best_of_each", "by_query", "has_nan", "outside", "overlaid", "products"]

BLOCK = 65_536  # rows that are gathered at once
BLOCK_OF_TABLE = 8_192  # rows of several queries: what stays in a core's cache
NOTHING: Ints = np.empty(0, dtype=np.int64)


class Pairs(NamedTuple):
    """Pairs of query and row, looked up for many queries at once."""

    keys: Ints  # (N,) query * n_rows + row, ascending
    n_rows: int
    most: int  # rows of one query

    @classmethod
    def of(cls, pairs: tuple[Ints, Ints] | None, *, n_rows: int, n_queries: int) -> Self:
        """Of parallel (query, row) positions; None: of none."""
        if pairs is None or not len(pairs[0]):
            return cls(NOTHING, n_rows, 0)
        queries, rows = pairs
        keys = rows.copy() if n_queries == 1 else queries * n_rows + rows
        keys.sort()
        most = len(rows) if n_queries == 1 else int(np.bincount(queries).max())
        return cls(keys, n_rows, most)

    def among(self, queries: Ints, rows: Ints) -> Bools:
        """(Q, N) which of these rows (Q, N), -1 for none, make a pair with their query (Q,)."""
        if not len(self.keys):
            return np.zeros(rows.shape, dtype=np.bool_)
        is_first = len(queries) == 1 and not queries[0]
        keys = rows if is_first else queries[:, None] * self.n_rows + rows
        found: Bools = self.keys.take(self.keys.searchsorted(keys), mode="clip") == keys
        return found


def best_of_each(held: Floats, rows: Ints, queries: Floats, k: int) -> tuple[Ints, Floats]:
    """The k best rows of each query, or as many as are proposed; ties go to the lower row.

    Args:
        held: (C, D).
        rows: (Q, N) proposed for each query, -1 for none.
        queries: (Q, D).
        k: how many.

    Returns:
        Rows and inner products, (Q, k or N), best first; -1 with -inf where no more are proposed.

    Raises:
        InputError: a product is NaN.
    """
    ascending = rows.copy()
    ascending.sort(axis=1)
    a_block = max(1, BLOCK_OF_TABLE // max(rows.shape[1], 1))
    if len(rows) > a_block:
        blocks = [
            best_of_each(held, rows[start : start + a_block], queries[start : start + a_block], k)
            for start in range(0, len(rows), a_block)
        ]
        best, scores = zip(*blocks, strict=True)
        return np.concatenate(best), np.concatenate(scores)
    given = held.take(ascending, axis=0).astype(np.float32, copy=False)  # (Q, N, D)
    products_ = np.matmul(given, queries[:, :, None])[:, :, 0]
    if has_nan(products_):
        raise InputError(f"{np.isnan(products_).sum()} of {products_.size} scores are NaN")
    np.putmask(products_, ascending < 0, -np.inf)
    order = (-products_).argsort(axis=1, kind="stable")[:, :k]
    if len(rows) > 1:
        order = order + np.arange(0, rows.size, rows.shape[1])[:, None]
    return ascending.take(order), products_.take(order)


def has_nan(values: Floats) -> bool:
    """Whether any is NaN, in less than half the time of looking at each: no other square is."""
    return isnan(np.vdot(values, values))


def overlaid(table: Ints, at: Ints, longer: Ints) -> Ints:
    """The (Q, N) table with other rows ``at`` (S,), which are longer: (S, M); -1 fills up."""
    widened = np.full((len(table), longer.shape[1]), -1, dtype=np.int64)
    widened[:, : table.shape[1]] = table
    widened[at] = longer
    return widened


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
        return [NOTHING] * n_queries
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
