"""Time-dependent features of every candidate, as known at given instants."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.features.popularity import popularity_snapshots
from recbench.tables.queries import InteractionLog

__all__ = ["CandidateFeatures", "candidate_features"]

MICROSECONDS_PER_DAY = 86_400e6
FLOOR = 1e-2  # clicks; keeps the logarithm of no clicks finite
SCALE = 3.0  # brings logarithms to about [-2, 3]


@dataclass(frozen=True, slots=True, eq=False)
class CandidateFeatures:
    """S snapshots of C candidates."""

    features: npt.NDArray[np.float32]  # (S, C, F): log popularities, log age, is new
    log_prior: npt.NDArray[np.float32]  # (S, C) log of the recency popularity
    popularity: npt.NDArray[np.float32]  # (S, C) the recency popularity itself


def candidate_features(
    log: InteractionLog,
    at: npt.NDArray[np.int64],
    *,
    half_lives_s: Sequence[float],
    prior_half_life_s: float,
) -> CandidateFeatures:
    """Popularity on several half-lives, age since the first click, and whether there was one.

    Args:
        log: the clicks; at each instant only strictly earlier ones count.
        at: (S,) ascending, microseconds since the epoch.
        half_lives_s: of the popularity features, seconds; F = their number + 2.
        prior_half_life_s: of the recency popularity, seconds.
    """
    popularity = popularity_snapshots(log, at, half_lives_s=[*half_lives_s, prior_half_life_s])
    first = np.full(len(log.items), np.iinfo(np.int64).max)
    np.minimum.at(first, log.item_rows, log.ts)
    is_new = first[None, :] >= at[:, None]
    age_days = np.where(is_new, 0, at[:, None] - np.where(is_new, 0, first)) / MICROSECONDS_PER_DAY
    features = np.concatenate(
        [
            np.log(popularity[:, :, :-1] + FLOOR) / SCALE,
            np.log1p(age_days)[:, :, None] / SCALE,
            is_new[:, :, None],
        ],
        axis=2,
    )
    prior = popularity[:, :, -1]
    return CandidateFeatures(
        features.astype(np.float32),
        np.log(prior + FLOOR).astype(np.float32),
        prior.astype(np.float32),
    )
