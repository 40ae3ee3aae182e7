"""Percentile bootstrap over users: how sure a mean, or a difference of two, is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Interval", "bootstrap_mean"]

RESAMPLES = 2_000
LEVEL = 0.95
CELLS_AT_ONCE = 4_000_000  # bounds the memory of one block of resamples


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over users with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float
    n_users: int

    def __str__(self) -> str:
        """As a table shows it: value, then bounds."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def bootstrap_mean(
    values: npt.NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """The mean over users with its percentile bootstrap interval.

    Give differences of the same users to compare two models: the resamples are then paired.

    Args:
        values: (U,) one value a user.
        seed: of the resampling.
        resamples: how many; 0 gives bounds equal to the mean.

    Raises:
        InputError: no users.
    """
    n = len(values)
    if n == 0:
        raise InputError("A mean over 0 users has no value: nobody in this group was evaluated")
    mean = float(values.mean())
    if resamples == 0 or n == 1:
        return Interval(mean, mean, mean, n)
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS_AT_ONCE // n)
    means = np.concatenate(
        [
            values[rng.integers(0, n, size=(min(rows, resamples - start), n))].mean(axis=1)
            for start in range(0, resamples, rows)
        ]
    )
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high), n)
