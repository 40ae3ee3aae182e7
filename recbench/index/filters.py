"""Which item rows a request may be shown, as a mask that every index takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from recbench.errors import InputError
from recbench.index.protocol import Bools, Ints

__all__ = ["CandidateFilters"]


@dataclass(frozen=True, slots=True, eq=False)
class CandidateFilters:
    """A catalogue's categories, and what is blocked or out of stock just now."""

    by_category: dict[str, Ints]  # category -> ascending item rows
    closed: Bools  # (C,) blocked or out of stock for everyone

    @classmethod
    def of(cls, category: pl.Series) -> Self:
        """From canonical categories by item row: null, one, or several as ``A|B``."""
        rows = pl.DataFrame({"category": category.cast(pl.String)}).with_row_index("item_row")
        single = rows.with_columns(pl.col("category").str.split("|")).explode(
            "category", empty_as_null=True, keep_nulls=False
        )
        by_category = {
            str(name): np.unique(part["item_row"].to_numpy().astype(np.int64))
            for (name,), part in single.group_by("category")
        }
        return cls(by_category, np.zeros(len(category), dtype=np.bool_))

    def closing(self, item_rows: Ints, *, closed: bool = True) -> Self:
        """With these rows blocked, or open again, for everyone."""
        mask = self.closed.copy()
        mask[item_rows] = closed
        return type(self)(self.by_category, mask)

    def allowed(
        self, categories: Iterable[str] | None = None, blocked: Sequence[int] | Ints = ()
    ) -> Bools | None:
        """(C,) rows that a request may be shown; None where that is all.

        Args:
            categories: of which an item must have one; default: any.
            blocked: item rows that this request may not be shown, besides those closed.

        Raises:
            InputError: a category that no item has.
        """
        if categories is None and not len(blocked) and not self.closed.any():
            return None
        if categories is None:
            mask = ~self.closed
        else:
            mask = np.zeros(len(self.closed), dtype=np.bool_)
            for name in categories:
                mask[self._rows_of(name)] = True
            mask &= ~self.closed
        mask[np.asarray(blocked, dtype=np.int64)] = False
        return mask

    def _rows_of(self, category: str) -> Ints:
        if category not in self.by_category:
            raise InputError(
                f"No item has the category {category!r}; there are {len(self.by_category)}, such "
                f"as {sorted(self.by_category)[:5]}"
            )
        return self.by_category[category]
