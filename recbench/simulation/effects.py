"""How sure a relative effect over independent worlds is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Effect", "mean_over_seeds", "relative_effect"]

LEVEL = 0.95

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """A value over seeds with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float
    n_seeds: int

    def __str__(self) -> str:
        """As a table of shares shows it."""
        return f"{self.value:+.1%} [{self.low:+.1%}, {self.high:+.1%}]"


def relative_effect(treated: Floats, control: Floats) -> Effect:
    """``treated / control - 1`` over paired worlds: Student's interval of the mean log ratio.

    Args:
        treated: (S,) positive, a value a seed.
        control: (S,) of the same worlds.

    Raises:
        InputError: fewer than two seeds, or a value that is not positive.
    """
    if not (np.all(treated > 0) and np.all(control > 0)):
        raise InputError("A relative effect needs positive values in both arms")
    found = mean_over_seeds(np.log(treated / control))
    value, low, high = np.expm1([found.value, found.low, found.high]).tolist()
    return Effect(value, low, high, found.n_seeds)


def mean_over_seeds(values: Floats) -> Effect:
    """The mean of (S,) values with Student's interval.

    Raises:
        InputError: fewer than two seeds.
    """
    from scipy import stats

    n = len(values)
    if n < 2:
        raise InputError(f"An interval over seeds needs at least 2 of them, got {n}")
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    mean = float(values.mean())
    return Effect(mean, mean - float(half), mean + float(half), n)
