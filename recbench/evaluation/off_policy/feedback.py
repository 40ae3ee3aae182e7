"""A log of decisions made by chance, and another policy at the same decisions; checked once."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Feedback", "TargetPolicy"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SUM_ERROR = 1e-6  # of chances that must sum to one


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Feedback:
    """N logged decisions: the chance with which each was made, and the reward that it brought.

    What is read of actions and contexts is in the `TargetPolicy`; here are no ids.
    """

    rewards: Floats  # (N,)
    propensities: Floats  # (N,) of the logged action under the logging policy, in (0, 1]
    units: Ints  # (N,) rows of one unit depend on each other: a request, or a user
    reward_range: tuple[float, float] = (0.0, 1.0)  # what a reward can be, not what it was
    least_propensity: float | None = None  # what the logging policy promises; None: nothing

    def __post_init__(self) -> None:
        """Refuse what would make an estimate wrong in silence."""
        n = len(self.rewards)
        if n == 0:
            raise InputError("A log of 0 decisions tells nothing about any policy")
        for name in ("propensities", "units"):
            if getattr(self, name).shape != (n,):
                raise InputError(
                    f"`{name}` must have one value for each of {n} rewards, got shape "
                    f"{getattr(self, name).shape}"
                )
        _refuse(~np.isfinite(self.rewards), self.rewards, "`rewards` must be numbers")
        possible = (self.propensities > 0) & (self.propensities <= 1)  # false for NaN
        _refuse(
            ~possible,
            self.propensities,
            "`propensities` must lie in (0, 1]; slots that were filled by rule have none and must "
            "be left out",
        )
        low, high = self.reward_range
        outside = (self.rewards < low) | (self.rewards > high)
        _refuse(outside, self.rewards, f"`rewards` must lie in `reward_range` [{low}, {high}]")
        if self.least_propensity is not None:
            below = self.propensities < self.least_propensity * (1 - SUM_ERROR)
            promised = f"`propensities` must be {self.least_propensity} or more, as declared"
            _refuse(below, self.propensities, promised)

    def __len__(self) -> int:
        """The number of decisions."""
        return len(self.rewards)

    @classmethod
    def of_rounds(cls, rewards: Floats, propensities: Floats, **declared: object) -> Self:
        """Decisions that do not depend on each other: each is a unit of its own.

        Args:
            rewards: (N,).
            propensities: (N,).
            **declared: ``reward_range`` and ``least_propensity``.
        """
        units = np.arange(len(rewards))
        return cls(rewards=rewards, propensities=propensities, units=units, **declared)  # type: ignore[arg-type]  # columns by the name of their field

    @property
    def largest_inverse(self) -> float:
        """The largest inverse propensity: as declared, else of those that were logged."""
        return 1.0 / (self.least_propensity or float(self.propensities.min()))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TargetPolicy:
    """A policy at the N logged decisions, with what a reward model expects of it.

    ``of_dense`` makes it of whole distributions; for a large catalogue the columns are enough.
    """

    propensities: Floats  # (N,) of the logged action under this policy, in [0, 1]
    expected_logged: Floats | None = None  # (N,) a model's reward of the logged action
    expected: Floats | None = None  # (N,) and its mean over the actions of this policy
    supported: Floats | None = None  # (N,) its chance of what the log could show; None: unknown

    def __post_init__(self) -> None:
        """Refuse chances that are none, and half a reward model."""
        possible = (self.propensities >= 0) & (self.propensities <= 1 + SUM_ERROR)
        _refuse(
            ~possible, self.propensities, "`propensities` of a target policy must lie in [0, 1]"
        )
        if (self.expected_logged is None) != (self.expected is None):
            raise InputError("`expected_logged` and `expected` come from one model: give both")
        for name in ("expected_logged", "expected", "supported"):
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != self.propensities.shape:
                raise InputError(
                    f"`{name}` must have shape {self.propensities.shape}, got {values.shape}"
                )
            _refuse(~np.isfinite(values), values, f"`{name}` must be numbers")

    @classmethod
    def of_dense(
        cls,
        distribution: Floats,
        actions: Ints,
        *,
        expected: Floats | None = None,
        logging: Floats | None = None,
    ) -> Self:
        """From the chance of every action at every decision.

        Args:
            distribution: (N, A), each row sums to one.
            actions: (N,) what was logged, in [0, A).
            expected: (N, A) a model's rewards.
            logging: (N, A) the logging policy's chances; they tell what the log could show.

        Raises:
            InputError: a row of a distribution does not sum to one.
        """
        _refuse_sums(distribution, "distribution")
        at = np.arange(len(actions)), actions
        supported = None
        if logging is not None:
            _refuse_sums(logging, "logging")
            supported = np.where(logging > 0, distribution, 0.0).sum(axis=1)
        return cls(
            propensities=distribution[at],
            expected_logged=None if expected is None else expected[at],
            expected=None if expected is None else (distribution * expected).sum(axis=1),
            supported=supported,
        )


def _refuse_sums(distribution: Floats, name: str) -> None:
    sums = distribution.sum(axis=1)
    _refuse(~(np.abs(sums - 1) <= SUM_ERROR), sums, f"Rows of `{name}` must sum to 1")
    if distribution.min() < 0:
        raise InputError(f"Chances in `{name}` must not be negative, got {distribution.min()}")


def _refuse(wrong: npt.NDArray[np.bool_], values: Floats, rule: str) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(f"{rule}; row {at} has {values[at]}, one of {int(wrong.sum())} such rows")
