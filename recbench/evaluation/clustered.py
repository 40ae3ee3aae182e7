"""Means over requests whose users come again: users are resampled, with all their requests."""

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.intervals import LEVEL, RESAMPLES, Interval

__all__ = ["clustered_draws", "clustered_means"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CELLS_AT_ONCE = 4_000_000  # bounds the memory of one block of resamples


def clustered_means(
    users: Ints, values: Floats, *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Interval]:
    """The mean over requests of each column, with its percentile interval over users.

    All columns, and all calls with the same users and seed, share the same resamples: a column of
    differences is a paired comparison.

    Args:
        users: (R,) whose request each row is.
        values: (R, M) a column a metric, arm or difference.
        seed: of the resampling.
        resamples: how many.

    Raises:
        InputError: no requests.
    """
    drawn = clustered_draws(users, values, seed=seed, resamples=resamples)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    n_users = len(np.unique(users))
    bounds = zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    return [Interval(mean, least, most, n_users) for mean, least, most in bounds]


def clustered_draws(
    users: Ints, values: Floats, *, seed: int = 0, resamples: int = RESAMPLES
) -> Floats:
    """(resamples, M) means over requests of users drawn with replacement."""
    if not len(values):
        raise InputError("A mean over 0 requests has no value: nothing was asked")
    _, row = np.unique(users, return_inverse=True)
    n = int(row.max()) + 1
    sums = np.zeros((n, values.shape[1] + 1))
    np.add.at(sums, row, np.column_stack([np.ones(len(values)), values]))
    rng, block = np.random.default_rng(seed), max(1, CELLS_AT_ONCE // n)
    means = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        total = counts @ sums
        means.append(total[:, 1:] / total[:, :1])
    return np.concatenate(means)
