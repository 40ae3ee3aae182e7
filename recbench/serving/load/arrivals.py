"""When an open loop's requests are due: whether or not the ones before were answered."""

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["poisson_arrivals"]


def poisson_arrivals(per_s: float, *, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Instants of a Poisson process, ascending, in [0, ``seconds``).

    Args:
        per_s: arrivals a second, on average.
        seconds: how long.
        seed: of the process.

    Raises:
        InputError: a rate or duration that is not positive.
    """
    if not (per_s > 0 and seconds > 0):
        raise InputError(f"`per_s` and `seconds` must be positive, got {per_s} and {seconds}")
    rng = np.random.default_rng(seed)
    # given their number, the instants of a Poisson process are uniform
    return np.sort(rng.uniform(0.0, seconds, rng.poisson(per_s * seconds)))
