"""Item popularity with exponential decay, as it was known at given instants."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog

__all__ = ["decayed_popularity", "popularity_snapshots"]

MICROSECONDS = 1e6


def decayed_popularity(
    log: InteractionLog, *, at: int, half_life_s: float
) -> npt.NDArray[np.float64]:
    """(n_items,) the sum of ``2 ** -(age / half_life)`` over clicks strictly before ``at``.

    Args:
        log: the clicks; those at ``at`` or later do not count.
        at: microseconds since the epoch.
        half_life_s: > 0, seconds; ``inf`` counts every click alike.
    """
    snapshot = popularity_snapshots(log, np.array([at]), half_lives_s=[half_life_s])
    return snapshot[0, :, 0]


def popularity_snapshots(
    log: InteractionLog, at: npt.NDArray[np.int64], *, half_lives_s: Sequence[float]
) -> npt.NDArray[np.float64]:
    """(S, n_items, H) decayed popularity at each of S instants, in one pass over the log.

    The state is carried from instant to instant, so that no power of an absolute time is taken
    and long logs do not underflow.

    Args:
        log: the clicks.
        at: (S,) ascending microseconds since the epoch.
        half_lives_s: H values > 0, seconds.

    Raises:
        InputError: ``at`` is not ascending, or a half-life is not positive.
    """
    if np.any(np.diff(at) < 0):
        raise InputError(f"`at` must be ascending, got {at.tolist()}")
    if not half_lives_s or not all(half_life > 0 for half_life in half_lives_s):
        raise InputError(f"`half_lives_s` must hold positive seconds, got {list(half_lives_s)}")
    half_lives = np.asarray(half_lives_s, dtype=np.float64) * MICROSECONDS
    order = np.argsort(log.ts, kind="stable")
    ts, rows = log.ts[order], log.item_rows[order]
    state = np.zeros((len(log.items), len(half_lives)))
    snapshots = np.empty((len(at), *state.shape))
    position, last = 0, int(at[0]) if len(at) else 0
    for number, instant in enumerate(at):
        state *= np.exp2(-(instant - last) / half_lives)
        end = int(np.searchsorted(ts, instant, side="left"))
        age = instant - ts[position:end]
        for column, half_life in enumerate(half_lives):
            state[:, column] += np.bincount(
                rows[position:end], weights=np.exp2(-age / half_life), minlength=len(state)
            )
        snapshots[number] = state
        position, last = end, int(instant)
    return snapshots
