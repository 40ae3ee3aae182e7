"""Percentile bootstrap over users: how sure a mean, or a difference of two, is."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Interval", "bootstrap_mean", "bootstrap_means", "resample_counts"]

RESAMPLES = 2_000
LEVEL = 0.95
CELLS_AT_ONCE = 1_000_000  # bounds the memory of one block of resamples

Floats = npt.NDArray[np.float64]


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


def bootstrap_mean(values: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean over users of one value each, (U,); otherwise as ``bootstrap_means``."""
    return bootstrap_means(values[:, None], seed=seed, resamples=resamples)[0]


def bootstrap_means(values: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> list[Interval]:
    """The mean over users of each column with its percentile bootstrap interval.

    All columns, and all calls with one seed and number of users, share the same resamples: give
    the differences of the same users to compare two models, and the comparison is paired.

    Args:
        values: (U, M) a row a user, a column a metric.
        seed: of the resampling.
        resamples: how many; 0 gives bounds equal to the mean.

    Raises:
        InputError: no users.
    """
    n = len(values)
    if n == 0:
        raise InputError("A mean over 0 users has no value: nobody in this group was evaluated")
    means = values.mean(axis=0)
    low = high = means
    if resamples and n > 1:
        resampled = _resampled_means(values, seed=seed, resamples=resamples)
        low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    bounds = zip(means.tolist(), low.tolist(), high.tolist(), strict=True)
    return [Interval(mean, least, most, n) for mean, least, most in bounds]


def resample_counts(n: int, *, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each of ``n`` is drawn in each of ``resamples`` draws of n, in blocks (R, n)."""
    rng = np.random.default_rng(seed)
    block = max(1, CELLS_AT_ONCE // n)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _resampled_means(values: Floats, *, seed: int, resamples: int) -> Floats:
    """(resamples, M), from how often each user is drawn: users are counted once for all columns."""
    blocks = resample_counts(len(values), seed=seed, resamples=resamples)
    return np.concatenate([counts @ values / len(values) for counts in blocks])
