"""How popular items are of late: the statistics that every list falls back on."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.click_stream import ClickStream

__all__ = ["FadingPopularity"]


@dataclass(frozen=True, slots=True, eq=False)
class FadingPopularity:
    """Clicks per item, each halved for every half-life since it was known."""

    values: npt.NDArray[np.float64]  # (n_items,)
    half_life_s: float
    at: int = 0  # microseconds: what the values are as of
    n_known: int = 0

    def __post_init__(self) -> None:
        """Nothing can fade backwards."""
        if not self.half_life_s > 0:
            raise InputError(f"`half_life_s` must be positive, got {self.half_life_s}")

    @classmethod
    def nothing(cls, n_items: int, *, half_life_s: float) -> Self:
        """Before the first click."""
        return cls(np.zeros(n_items), half_life_s)

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """The same with the clicks that were known before ``to``, microseconds."""
        n_known = int(stream.n_known(to))
        new = slice(self.n_known, n_known)
        weights = np.exp2(-(to - stream.known_at[new]) / (self.half_life_s * 1e6))
        came = np.bincount(stream.item_rows[new], weights=weights, minlength=len(self.values))
        kept = self.values * np.exp2(-(to - self.at) / (self.half_life_s * 1e6))
        return replace(self, values=kept + came, at=to, n_known=n_known)

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """(n_items,) of all clicks; zeros before the first."""
        total = max(float(self.values.sum()), 1e-300)
        shares: npt.NDArray[np.float64] = self.values / total
        return shares
