"""Whose gain it is, where several things were changed at once: Shapley's shares."""

from itertools import combinations
from math import factorial

import numpy as np
import numpy.typing as npt

__all__ = ["shapley_weights"]

Floats = npt.NDArray[np.float64]


def shapley_weights(n: int) -> Floats:
    """(2 ** n, n): values of all combinations times this are the shares of the n changes.

    Row i is the combination in which change d was made where bit d of i is set. The shares add up
    to the value of all changes less that of none.

    >>> (np.array([0.0, 1.0, 2.0, 6.0]) @ shapley_weights(2)).tolist()
    [2.5, 3.5]

    Source: Shapley, "A value for n-person games", 1953.
    """
    weights = np.zeros((2**n, n))
    for change in range(n):
        others = [other for other in range(n) if other != change]
        for size in range(n):
            share = factorial(size) * factorial(n - size - 1) / factorial(n)
            for made in combinations(others, size):
                row = sum(1 << other for other in made)
                weights[row | (1 << change), change] += share
                weights[row, change] -= share
    return weights
