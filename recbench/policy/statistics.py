"""All that a linear bandit keeps of its events: sums, which add up in any order, anywhere."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from recbench.errors import InputError

__all__ = ["LinearStatistics", "Posterior"]

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, eq=False)
class LinearStatistics:
    """``sum x x'``, ``sum r x`` and counts over events with features x and rewards r."""

    gram: Floats  # (d, d)
    moment: Floats  # (d,)
    n_events: float  # fewer count where the past is forgotten
    reward_sum: float

    @classmethod
    def zeros(cls, dim: int) -> Self:
        """Of no event."""
        return cls(np.zeros((dim, dim)), np.zeros(dim), 0.0, 0.0)

    @property
    def dim(self) -> int:
        """How many features there are."""
        return len(self.moment)

    def add(self, features: npt.NDArray[np.floating], rewards: npt.NDArray[np.floating]) -> None:
        """Take in E events; one by one or all at once, the sums are the same but for rounding.

        Args:
            features: (E, d).
            rewards: (E,).

        Raises:
            InputError: shapes do not fit, or a value is no number.
        """
        if features.shape != (len(rewards), self.dim):
            raise InputError(
                f"`features` must have shape ({len(rewards)}, {self.dim}), got {features.shape}"
            )
        gram, moment = features.T @ features, features.T @ rewards
        if not (np.isfinite(gram).all() and np.isfinite(moment).all()):
            raise InputError(
                f"One of {len(rewards)} events has a feature or reward that is no number"
            )
        self.gram += gram
        self.moment += moment
        self.n_events += len(rewards)
        self.reward_sum += float(rewards.sum())

    def merged(self, other: Self) -> Self:
        """Of the events of both, such as of two workers.

        Raises:
            InputError: they are of different features.
        """
        if self.dim != other.dim:
            raise InputError(f"Statistics of {self.dim} and {other.dim} features do not add up")
        return type(self)(
            self.gram + other.gram,
            self.moment + other.moment,
            self.n_events + other.n_events,
            self.reward_sum + other.reward_sum,
        )

    def forget(self, kept: float) -> None:
        """Let every event so far count ``kept`` times, in [0, 1], what it did."""
        if not 0 <= kept <= 1:
            raise InputError(f"`kept` must lie in [0, 1], got {kept}")
        self.gram *= kept
        self.moment *= kept
        self.n_events *= kept
        self.reward_sum *= kept


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What the statistics say of the d coefficients: normal, of unit noise."""

    mean: Floats  # (d,)
    root: Floats  # (d, d) upper triangular; root @ root.T is the covariance

    @classmethod
    def of(
        cls, statistics: LinearStatistics, *, ridge: float = 1.0, prior: Floats | None = None
    ) -> Self:
        """With a prior of variance ``1 / ridge`` around ``prior`` (d,); default: zero.

        Raises:
            InputError: ``ridge`` is not positive.
        """
        if not ridge > 0:
            raise InputError(f"`ridge` must be positive, got {ridge}")
        identity = np.eye(statistics.dim)
        lower = np.linalg.cholesky(statistics.gram + ridge * identity)
        root = solve_triangular(lower, identity, lower=True).T
        moment = statistics.moment if prior is None else statistics.moment + ridge * prior
        return cls(root @ (root.T @ moment), root)

    def expected(self, features: npt.NDArray[np.floating]) -> Floats:
        """(C,) mean reward of candidates (C, d)."""
        values: Floats = features @ self.mean
        return values

    def spread(self, features: npt.NDArray[np.floating]) -> Floats:
        """(C,) standard deviation of that mean, of unit noise."""
        spread: Floats = np.sqrt(np.square(features @ self.root).sum(axis=1))
        return spread

    def sampled(self, scale: float, rng: np.random.Generator) -> Floats:
        """(d,) coefficients drawn, for noise of standard deviation ``scale``."""
        drawn: Floats = self.mean + scale * (self.root @ rng.standard_normal(len(self.mean)))
        return drawn
