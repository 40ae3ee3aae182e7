"""How sure an off-policy estimate is: by bootstrap over units, and by empirical Bernstein."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.intervals import resample_counts
from recbench.evaluation.off_policy.terms import Terms

__all__ = ["Bounds", "bernstein", "bernstein_difference", "bootstrap", "bootstrap_differences"]

LEVEL = 0.95
RESAMPLES = 2_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As a table shows it: value, then bounds."""
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def bootstrap(terms: Sequence[Terms], *, seed: int = 0, resamples: int = RESAMPLES) -> list[Bounds]:
    """The percentile interval of each estimate; all share the same resamples of units.

    Args:
        terms: estimates from one log.
        seed: of the resampling.
        resamples: how many.

    Raises:
        InputError: the estimates are not over the same units.
    """
    drawn = _resampled(terms, seed=seed, resamples=resamples)
    return [_quantiles(t.value, drawn[:, at]) for at, t in enumerate(terms)]


def bootstrap_differences(
    pairs: Sequence[tuple[Terms, Terms]], *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Bounds]:
    """First minus second estimate of each pair, both on the same resamples: what they share goes.

    Raises:
        InputError: the estimates are not over the same units.
    """
    flat = [terms for pair in pairs for terms in pair]
    drawn = _resampled(flat, seed=seed, resamples=resamples)
    return [
        _quantiles(first.value - second.value, drawn[:, 2 * at] - drawn[:, 2 * at + 1])
        for at, (first, second) in enumerate(pairs)
    ]


def bernstein(terms: Terms, *, level: float = LEVEL) -> Bounds:
    """Bounds that hold with chance ``level`` or more for any number of units.

    All values v are kept whose ``numerator - v * denominator``, of mean zero at the truth, is as
    near to zero as an empirical Bernstein bound demands; with denominators of one this is that
    bound itself. It needs ``terms.width``, so declare the least propensity where you can.

    Source: Maurer and Pontil, "Empirical Bernstein bounds and sample-variance penalization", COLT
    2009, theorem 4, on either side; for ratios after Fieller, 1954.
    """
    units = terms.by_unit
    n = len(units)
    low, high = terms.value_range
    if n < 2 or not terms.denominators.sum() > 0:
        return Bounds(terms.value, low, high)
    log_term = math.log(4 / (1 - level))
    slack = 7 * terms.unit_width * log_term / (3 * (n - 1))
    (s_aa, s_ab), (_, s_bb) = np.cov(units, rowvar=False) * (2 * log_term / n)
    a, b = units.mean(axis=0)
    # |a - v b| - slack <= sqrt(s_aa - 2 v s_ab + v^2 s_bb), an ellipse cut by a line
    upper = _root(b, a + slack, (s_aa, s_ab, s_bb), side=1)
    lower = _root(b, a - slack, (s_aa, s_ab, s_bb), side=-1)
    return Bounds(terms.value, max(low, lower), min(high, upper))


def bernstein_difference(first: Terms, second: Terms, *, level: float = LEVEL) -> Bounds:
    """As ``bernstein``, of the first minus the second estimate.

    Directly where neither normalises itself; else from two intervals that each hold more often.

    Raises:
        InputError: the estimates are not over the same units.
    """
    _require_same_units([first, second])
    value = first.value - second.value
    if np.array_equal(first.denominators, second.denominators):
        return bernstein(first.minus(second), level=level)
    one, other = (bernstein(terms, level=(1 + level) / 2) for terms in (first, second))
    return Bounds(value, one.low - other.high, one.high - other.low)


def _root(b: float, a: float, spread: tuple[float, float, float], *, side: int) -> float:
    """Where ``side * (v b - a) = sqrt(s_aa - 2 v s_ab + v^2 s_bb)``; infinite where it never is."""
    s_aa, s_ab, s_bb = spread
    square, half, rest = b * b - s_bb, a * b - s_ab, a * a - s_aa
    inside = half * half - square * rest
    if square <= 0 or inside < 0:
        return side * math.inf
    return float((half + side * math.sqrt(inside)) / square)


def _resampled(terms: Sequence[Terms], *, seed: int, resamples: int) -> Floats:
    """(resamples, M) values."""
    _require_same_units(terms)
    columns = np.concatenate([one.by_unit for one in terms], axis=1)  # (U, 2 M)
    parts = []
    for counts in resample_counts(len(columns), seed=seed, resamples=resamples):
        sums = counts @ columns
        total = sums[:, 1::2]
        parts.append(np.divide(sums[:, ::2], total, out=np.zeros_like(total), where=total > 0))
    return np.concatenate(parts)


def _require_same_units(terms: Sequence[Terms]) -> None:
    if any(not np.array_equal(one.units, terms[0].units) for one in terms):
        raise InputError("Estimates that are compared must be of the same rows of one log")


def _quantiles(value: float, drawn: Floats) -> Bounds:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Bounds(value, float(low), float(high))
