"""Time-dependent features of candidates, as known at an instant."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.features.item_timeline import ItemTimeline
from recbench.features.running_popularity import RunningPopularity
from recbench.tables.queries import InteractionLog

__all__ = ["CandidateFeatures", "CandidateHistory", "CandidateSnapshots", "CandidatesAt"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

MICROSECONDS_PER_DAY = 86_400e6
FLOOR = 1e-2  # clicks; keeps the logarithm of no clicks finite
SCALE = 3.0  # brings logarithms to about [-2, 3]


class CandidateFeatures(NamedTuple):
    """C candidates as of one instant."""

    features: Floats  # (C, F): log popularities, log age, is new
    log_prior: Floats  # (C,) log of the recency popularity
    popularity: Floats  # (C,) the recency popularity itself


class CandidatesAt(Protocol):
    """Whatever knows candidates as of an instant."""

    def at(self, instant: int, item_rows: Ints) -> CandidateFeatures:
        """The features of (C,) items from the clicks strictly before ``instant``, microseconds."""


class CandidateHistory:
    """Candidates at any instant of a log."""

    def __init__(
        self, log: InteractionLog, *, half_lives_s: Sequence[float], prior_half_life_s: float
    ) -> None:
        """Popularity on several half-lives, age since the first click, and whether there was one.

        Args:
            log: the clicks.
            half_lives_s: of the popularity features, seconds; F = their number + 2.
            prior_half_life_s: of the recency popularity, seconds.
        """
        self.timeline = ItemTimeline.of(log, half_lives_s=[*half_lives_s, prior_half_life_s])

    def at(self, instant: int, item_rows: Ints) -> CandidateFeatures:
        """The features of (C,) items from the clicks strictly before ``instant``, microseconds."""
        popularity = self.timeline.popularity(item_rows, instant)
        return _features(popularity, self.timeline.age_us(item_rows, instant))


class CandidateSnapshots:
    """Candidates at the instants that popularity was kept of; the log is not needed."""

    def __init__(self, kept: Iterable[RunningPopularity]) -> None:
        """``kept``: the last half-life of each is the recency prior's."""
        self.kept = {popularity.at: popularity for popularity in kept}

    def at(self, instant: int, item_rows: Ints) -> CandidateFeatures:
        """The features of (C,) items from the clicks strictly before ``instant``, microseconds.

        Raises:
            InputError: nothing was kept of this instant.
        """
        if instant not in self.kept:
            raise InputError(f"Popularity was kept as of {sorted(self.kept)}, not of {instant}")
        found = self.kept[instant]
        return _features(found.popularity(item_rows, instant), found.age_us(item_rows, instant))


def _features(popularity: npt.NDArray[np.float64], age_us: Ints) -> CandidateFeatures:
    """From (C, H) popularity, the prior last, and (C,) ages, -1 where there was no click."""
    features = np.column_stack(
        [
            np.log(popularity[:, :-1] + FLOOR) / SCALE,
            np.log1p(np.maximum(age_us, 0) / MICROSECONDS_PER_DAY) / SCALE,
            age_us < 0,
        ]
    )
    prior = popularity[:, -1]
    return CandidateFeatures(
        features.astype(np.float32),
        np.log(prior + FLOOR).astype(np.float32),
        prior.astype(np.float32),
    )
