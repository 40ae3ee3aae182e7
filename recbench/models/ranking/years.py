"""The year in which an item came out, and its number among the items of that year."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ItemYears"]

YEAR = r"\((\d{4})\)\s*$"  # as titles of films end
LEAST_SHARE = 0.02  # keeps the logarithm of the lowest number finite


@dataclass(frozen=True, slots=True, eq=False)
class ItemYears:
    """Facts of a catalogue that do not depend on clicks.

    A catalogue numbers its items as it hears of them. Of two items of one year the one with the
    lower number was announced longer ahead, which is more often what many will want. A number that
    says nothing, of a hash say, is noise to a ranker: one that it can learn to leave alone.
    """

    years: npt.NDArray[np.int64]  # (n_items,), 0 where the title does not say
    numbers: npt.NDArray[np.int64]  # (n_items,) outside ids

    NAMES = ("years since it came out", "of this year", "number in its year", "the same, this year")

    @classmethod
    def from_items(cls, items: pl.DataFrame, vocabulary: Vocabulary) -> Self:
        """Years of titles that end in ``(1995)``.

        Args:
            items: canonical; without titles no year is known.
            vocabulary: the rows.
        """
        if c.TITLE not in items.columns:
            return cls(np.zeros(len(vocabulary), dtype=np.int64), vocabulary.ids)
        titles = pl.DataFrame({c.ITEM_ID: vocabulary.ids}).join(
            items, on=c.ITEM_ID, how="left", maintain_order="left"
        )[c.TITLE]
        years = titles.str.extract(YEAR).cast(pl.Int64).fill_null(0)
        return cls(years.to_numpy(), vocabulary.ids)

    @property
    def are_known(self) -> bool:
        """Whether any item says its year."""
        return bool((self.years > 0).any())

    def is_new(self, at: int) -> npt.NDArray[np.bool_]:
        """(n_items,) of the calendar year of ``at``, microseconds since the epoch, or later."""
        return self.years >= _year(at)

    def facts(self, *, at: int, clicked: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """(n_items, 4) in the order of ``NAMES``; 0 where the year is not known.

        Args:
            at: microseconds since the epoch.
            clicked: (n_items,) before ``at``; an item's number is its place among these.
        """
        known, new = self.years > 0, self.is_new(at)
        since = np.log1p(np.maximum(_year(at) - self.years, 0))
        share = np.zeros(len(self.years))
        for year in np.unique(self.years[known]):
            of_year = self.years == year
            there = np.sort(self.numbers[of_year & clicked])
            place = np.searchsorted(there, self.numbers[of_year])
            share[of_year] = place / max(1, len(there))
        columns = [since, new, np.log(share + LEAST_SHARE), share * new]
        facts = np.where(known[:, None], np.column_stack(columns), 0.0)
        return facts.astype(np.float32)


def _year(at: int) -> int:
    return datetime.fromtimestamp(at / 1e6, tz=UTC).year
