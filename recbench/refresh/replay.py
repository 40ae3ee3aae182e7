"""Exemplars: who of the past is trained on again, so that a few new events do not erase it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Exemplars", "choose_exemplars"]

Ints = npt.NDArray[np.int64]


class Exemplars(NamedTuple):
    """E users, each asked again as of an instant of the past."""

    user_ids: Ints  # (E,)
    at: Ints  # (E,) microseconds: the instant, one that popularity was kept of
    item_ids: Ints  # (E,) what was clicked next


def choose_exemplars(
    pool: Exemplars, *, n: int, half_life_us: float, rng: np.random.Generator
) -> Exemplars:
    """``n`` of the pool without repetition, the recent and the rarely clicked more often.

    The chance of one to be drawn first is in proportion to ``2 ** -(age / half_life)`` over the
    square root of how often the pool has its item: recency, and coverage of the catalogue.

    Args:
        pool: all that may be chosen.
        n: how many; the whole pool if it is no larger.
        half_life_us: > 0, microseconds before the pool's last instant.
        rng: decides among what weighs alike.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006; exemplars
    for recommenders: Mi et al., "ADER", RecSys 2020.
    """
    if len(pool.at) <= n:
        return pool
    _, item, count = np.unique(pool.item_ids, return_inverse=True, return_counts=True)
    age = (pool.at.max() - pool.at) / half_life_us
    log_weight = -np.log(2.0) * age - 0.5 * np.log(count[item])
    key = np.log(-np.log(rng.random(len(age)))) - log_weight  # the smaller, the earlier drawn
    chosen = np.sort(np.argpartition(key, n)[:n])
    return Exemplars(*(column[chosen] for column in pool))
