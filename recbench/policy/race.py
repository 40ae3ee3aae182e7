"""Drawing without replacement by weights, and the chance of every draw.

The item with the largest ``log(weight) + Gumbel noise`` comes first, then the second largest:
Gumbel top-k, which is Plackett and Luce's way to draw lists.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Drawn", "draw", "mixed_weights", "slot_chances"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
STEP = 0.3  # of the trapezoid rule in log time; its error falls as exp(-pi^2 / STEP)
EARLIEST, LATEST = 1e-14, 40.0  # shares of an integral that lie beyond are below these, exp(-40)


class Drawn(NamedTuple):
    """M items in the order in which they were drawn."""

    places: Ints  # (M,) of the weights
    chances: Floats  # (M,) of each, given those drawn before; their product is that of the list


def mixed_weights(scores: npt.NDArray[np.floating], *, temperature: float, even: float) -> Floats:
    """(P,) positive weights that sum to one: softmax, and a share spread evenly over all.

    Args:
        scores: (P,) higher is better.
        temperature: > 0, in units of the scores; infinite: all alike.
        even: in [0, 1], the share; no weight is below ``even / P``.

    Raises:
        InputError: a dial outside its range, or a score that is no number.
    """
    if not temperature > 0:
        raise InputError(f"`temperature` must be positive, got {temperature}")
    if not 0 <= even <= 1:
        raise InputError(f"`even` must lie in [0, 1], got {even}")
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"Scores must be numbers, got {values[~np.isfinite(values)][0]}")
    weights = np.exp((values - values.max()) / temperature)
    mixed: Floats = (1 - even) * weights / weights.sum() + even / len(values)
    return mixed


def draw(weights: Floats, m: int, rng: np.random.Generator) -> Drawn:
    """``m`` of P items without replacement, each draw by weight among those that are left.

    Args:
        weights: (P,) positive, of any sum.
        m: at most P.
        rng: of the noise.

    Raises:
        InputError: more are asked for than there are, or a weight is not positive.
    """
    if not 0 < m <= len(weights):
        raise InputError(f"`m` must lie in [1, {len(weights)}], got {m}")
    if not weights.min() > 0:
        raise InputError(f"Weights must be positive, got {weights.min()}")
    noisy = np.log(weights) + rng.gumbel(size=len(weights))
    best = np.argpartition(-noisy, m - 1)[:m]
    places = best[np.argsort(-noisy[best], kind="stable")]
    chosen = weights[places]
    left = weights.sum() - np.cumsum(chosen) + chosen
    return Drawn(places, np.minimum(chosen / np.maximum(left, chosen), 1.0))


def slot_chances(weights: Floats, places: Ints) -> Floats:
    """(M,) chance that the item at ``places[k]`` is drawn as number k, whatever comes before.

    Item i finishes an exponential race at rate ``weights[i]``; it is number k if just k others
    finish before it. The sum over how many have finished is exact, the integral over time is by the
    trapezoid rule in log time, which converges geometrically: errors are below 1e-9.

    Args:
        weights: (P,) positive, of any sum.
        places: (M,) items, in their slots.
    """
    rates = weights / weights.sum()
    m = len(places)
    own = rates[places]  # (M,)
    log_times = np.arange(np.log(EARLIEST), np.log(LATEST / own.min()) + STEP, STEP)
    times = np.exp(log_times)  # (T,)
    finished = -np.expm1(-np.outer(rates, times))  # (P, T) chance that each has finished
    counts = np.zeros((m, m, len(times)))  # of the others: item, how many have finished, time
    counts[:, 0] = 1.0
    for place, share in enumerate(finished):
        others = np.where(places == place, 0.0, 1.0)[:, None] * share  # (M, T)
        moved = counts[:, :-1] * others[:, None]
        counts *= (1.0 - others)[:, None]
        counts[:, 1:] += moved
    before = counts[np.arange(m), np.arange(m)]  # (M, T) just k others
    density = own[:, None] * times * np.exp(-np.outer(own, times))  # in log time
    chances: Floats = STEP * (density * before).sum(axis=1)
    return np.minimum(chances, 1.0)
