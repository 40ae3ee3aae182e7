"""Random numbers by key: the same key gives the same number, in any order, in any process."""

import numpy as np
import numpy.typing as npt

__all__ = ["keyed_uniforms"]

GOLDEN = 0x9E3779B97F4A7C15
MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
UNIT = 2.0**-53

Ints = npt.NDArray[np.int64]


def keyed_uniforms(seed: int, stream: int, *keys: Ints | int) -> npt.NDArray[np.float64]:
    """Uniform in (0, 1), one for each combination of ``keys``, which broadcast.

    Two worlds that ask with the same keys get the same number whatever they asked before: these
    are the common random numbers of twin worlds, and why the number of threads changes nothing.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom
    number generators", OOPSLA 2014; here it mixes one key after the other.

    Args:
        seed: of the world.
        stream: what the numbers are for, so that two purposes never share them.
        keys: non-negative integers.
    """
    state = _mixed(np.full(1, (seed * GOLDEN + stream) % 2**64, dtype=np.uint64))
    for key in keys:
        state = _mixed(state ^ _mixed(np.atleast_1d(key).astype(np.uint64)))
    uniforms: npt.NDArray[np.float64] = ((state >> np.uint64(11)).astype(np.float64) + 0.5) * UNIT
    return uniforms if any(np.ndim(key) for key in keys) else uniforms[0]


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + np.uint64(GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(MIX[0])
    state = (state ^ (state >> np.uint64(27))) * np.uint64(MIX[1])
    return state ^ (state >> np.uint64(31))
