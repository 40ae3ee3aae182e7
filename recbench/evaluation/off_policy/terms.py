"""What every estimator comes down to: a ratio of two sums over rows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Terms"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Terms:
    """An estimate before it is summed: ``sum(numerators) / sum(denominators)`` over N rows.

    The denominators are ones, or the weights where the estimator normalises itself.
    """

    numerators: Floats  # (N,)
    denominators: Floats  # (N,)
    units: npt.NDArray[np.int64]  # (N,) what is resampled together
    width: float  # of the range of ``numerator - value * denominator``, a row, for possible values
    value_range: tuple[float, float]  # of the mean reward
    lost_frac: float = 0.0  # of the importance weight that clipping or a switch took away

    @property
    def value(self) -> float:
        """The estimate; NaN where no row counts, as when nothing that was logged matches."""
        total = float(self.denominators.sum())
        return float(self.numerators.sum()) / total if total > 0 else float("nan")

    def minus(self, other: Self) -> Self:
        """The difference of two estimates of one log that have the same denominators.

        Raises:
            InputError: they have not, as those that normalise themselves.
        """
        if not np.array_equal(self.denominators, other.denominators):
            raise InputError("Only estimates with the same denominators have a difference of terms")
        reach = self.value_range[1] - self.value_range[0]
        return type(self)(
            self.numerators - other.numerators,
            self.denominators,
            self.units,
            self.width + other.width,
            (-reach, reach),
        )

    @cached_property
    def by_unit(self) -> Floats:
        """(U, 2) numerator and denominator of each unit."""
        _, unit = np.unique(self.units, return_inverse=True)
        return np.stack(
            [np.bincount(unit, column) for column in (self.numerators, self.denominators)], axis=1
        )

    @cached_property
    def unit_width(self) -> float:
        """``width`` of the largest unit."""
        return self.width * int(np.unique(self.units, return_counts=True)[1].max())
