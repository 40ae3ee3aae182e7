"""The two-way map between outside ids and contiguous rows; it grows without renumbering."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.errors import InputError

__all__ = ["Vocabulary"]

Ids = npt.NDArray[np.int64]
TABLE = 8  # places to be filled for an id that is looked up: up to here searching takes longer


class Vocabulary:
    """Outside ids in row order: ``ids[row]`` is the id, ``rows(ids)`` the way back.

    Immutable. ``grow`` returns a new vocabulary in which every old id keeps its row.
    """

    __slots__ = ("_order", "_sorted", "ids")

    def __init__(self, ids: Iterable[int] | Ids | pl.Series) -> None:
        """Rows follow the order of ``ids``.

        Raises:
            InputError: an id occurs twice, or does not fit into int64.
        """
        self.ids = _as_int64(ids)
        self.ids.setflags(write=False)
        self._order = np.argsort(self.ids, kind="stable")
        self._sorted = self.ids[self._order]
        twice = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        if len(twice):
            raise InputError(f"Ids must be unique, but {self._sorted[twice[0]]} occurs twice")

    @classmethod
    def restored(cls, ids: Ids, order: Ids) -> Self:
        """The vocabulary whose ``ids`` and ``order`` these are: nothing is sorted or checked."""
        restored = cls.__new__(cls)
        restored.ids, restored._order, restored._sorted = ids, order, ids[order]
        return restored

    @property
    def order(self) -> Ids:
        """The rows in ascending order of their ids."""
        return self._order

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        """Same ids in the same rows."""
        return isinstance(other, Vocabulary) and np.array_equal(self.ids, other.ids)

    def __hash__(self) -> int:
        """By content, as ``__eq__``."""
        return hash(self.ids.tobytes())

    def __repr__(self) -> str:
        """Short: the size and the first ids."""
        return f"Vocabulary({len(self)} ids, first {self.ids[:3].tolist()})"

    @classmethod
    def of(cls, ids: Iterable[int] | Ids | pl.Series) -> Self:
        """The distinct ``ids`` in ascending order."""
        return cls(np.unique(_as_int64(ids)))

    def rows(self, ids: Iterable[int] | Ids | pl.Series) -> Ids:
        """The row of each id, shape of ``ids``; -1 where the id is unknown."""
        wanted = _as_int64(ids)
        if not len(self):
            return np.full(wanted.shape, -1, dtype=np.int64)
        span = int(self._sorted[-1]) - int(self._sorted[0]) + 1
        if len(self) + span <= TABLE * wanted.size:
            return self._rows_by_table(wanted, span)
        at = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        return np.where(self._sorted[at] == wanted, self._order[at], -1)

    def _rows_by_table(self, wanted: Ids, span: int) -> Ids:
        """As ``rows``: a table of all ids between the least and the largest, and one after them."""
        least = self._sorted[0]
        table = np.full(span + 1, -1, dtype=np.int64)
        table[self._sorted - least] = self._order
        outside = (wanted < least) | (wanted > self._sorted[-1])
        return table[np.where(outside, span, wanted - least)]

    def grow(self, ids: Iterable[int] | Ids | pl.Series) -> "Vocabulary":
        """This vocabulary followed by those of ``ids`` that it lacks, ascending."""
        candidates = np.unique(_as_int64(ids))
        new = candidates[self.rows(candidates) < 0]
        return Vocabulary(np.concatenate([self.ids, new])) if len(new) else self

    def write(self, path: Path, *, column: str) -> None:
        """One Parquet file with one int64 column, in row order."""
        pl.DataFrame({column: self.ids}).write_parquet(path)

    @classmethod
    def read(cls, path: Path, *, column: str) -> Self:
        """What ``write`` wrote."""
        return cls(pl.read_parquet(path, columns=[column])[column])


def _as_int64(ids: Iterable[int] | Ids | pl.Series) -> Ids:
    if isinstance(ids, pl.Series):
        if ids.null_count():
            raise InputError(f"Ids must not be null, but {ids.null_count()} of {len(ids)} are")
        ids = ids.to_numpy()
    array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids))
    if not array.size:
        return np.empty(array.shape, dtype=np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"Ids must be integers, got {array.dtype}: {array.ravel()[0]!r}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"Ids must fit into int64, but {array.max()} does not")
    return np.array(array, dtype=np.int64)
