"""Whether a log can tell what a policy earns: weights, overlap, support; and where to stop."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.weighted import importance_weights

__all__ = ["Diagnostics", "Thresholds", "diagnose"]

Floats = npt.NDArray[np.float64]
ERRORS_AWAY = 4.0  # standard errors; a mean weight this far from 1 is no chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Beyond which a report says "cannot tell" instead of a number."""

    effective_rows: float = 200.0  # at least; fewer, and quantiles of a bootstrap mean little
    largest_share: float = 0.05  # of all weight on one row, at most
    unsupported_mass: float = 0.01  # of the target's choices that the log cannot show, at most
    weight_error: float = 0.05  # standard error of the mean weight, at most
    missing_reward_frac: float = 0.01  # rows whose reward never came, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """What weights say about a log and a policy, before any reward is looked at."""

    n_rows: int
    n_units: int
    effective_rows: float  # (sum w)^2 / sum w^2
    overlap: float  # rows that the target might have made, as a share
    mean_weight: float  # 1 but for chance, if propensities are right and all is supported
    mean_weight_error: float  # its standard error
    weight_p99: float
    weight_max: float
    largest_share: float  # of all weight on the heaviest row
    unsupported_mass: float  # known from the distributions, else what the mean weight lacks
    support_is_known: bool
    missing_reward_frac: float = 0.0

    def objections(self, limits: Thresholds) -> list[str]:
        """Why no number should be given, each in a sentence; none: it may."""
        found = []
        if self.effective_rows < limits.effective_rows:
            found.append(
                f"{self.n_rows} rows are worth {self.effective_rows:.0f}, below "
                f"{limits.effective_rows:.0f}"
            )
        if self.largest_share > limits.largest_share:
            found.append(f"one row carries {self.largest_share:.1%} of the weight")
        if self.mean_weight_error > limits.weight_error:
            found.append(
                f"the mean weight is known to {self.mean_weight_error:.3f} only, not to "
                f"{limits.weight_error}"
            )
        found += self._of_support(limits)
        if self.missing_reward_frac > limits.missing_reward_frac:
            found.append(f"{self.missing_reward_frac:.1%} of the rewards never came")
        return found

    def _of_support(self, limits: Thresholds) -> list[str]:
        if self.unsupported_mass > limits.unsupported_mass:
            how = "" if self.support_is_known else ", by the mean weight"
            return [f"{self.unsupported_mass:.1%} of its choices are never logged{how}"]
        excess = self.mean_weight - 1
        if excess > max(limits.unsupported_mass, ERRORS_AWAY * self.mean_weight_error):
            return [
                f"the mean weight is {self.mean_weight:.3f}, not 1: propensities do not belong "
                "to the log, or do not sum to one"
            ]
        return []


def diagnose(
    feedback: Feedback, target: TargetPolicy, *, missing_reward_frac: float = 0.0
) -> Diagnostics:
    """The diagnostics of a policy on a log.

    The mean weight is 1 in expectation; what it lacks is the chance of choices that the log cannot
    show. It counts where it is beyond chance (four standard errors), or where the distributions
    say so.

    Args:
        feedback: the log.
        target: the policy.
        missing_reward_frac: of rows that were left out, as their reward never came.
    """
    weights = importance_weights(feedback, target)
    n, total = len(weights), float(weights.sum())
    squares = float((weights**2).sum())
    mean = total / n
    unsupported = _lacking(weights)
    if target.supported is not None:
        unsupported = max(unsupported, 1.0 - float(target.supported.mean()))
    return Diagnostics(
        n_rows=n,
        n_units=len(np.unique(feedback.units)),
        effective_rows=total**2 / squares if squares else 0.0,
        overlap=float((weights > 0).mean()),
        mean_weight=mean,
        mean_weight_error=_error_of_mean(weights, feedback.units),
        weight_p99=float(np.quantile(weights, 0.99)),
        weight_max=float(weights.max()),
        largest_share=float(weights.max()) / total if total else 1.0,
        unsupported_mass=unsupported,
        support_is_known=target.supported is not None,
        missing_reward_frac=missing_reward_frac,
    )


def _lacking(weights: Floats) -> float:
    """What the mean weight lacks of one, if that is beyond chance."""
    lacking = 1.0 - float(weights.mean())
    error = float(weights.std()) / np.sqrt(len(weights))
    return lacking if lacking > ERRORS_AWAY * error else 0.0


def _error_of_mean(weights: Floats, units: npt.NDArray[np.int64]) -> float:
    """The standard error of the mean of rows that depend on each other within units."""
    _, unit = np.unique(units, return_inverse=True)
    sums = np.bincount(unit, weights - weights.mean())
    return float(np.sqrt((sums**2).sum()) / len(weights))
