"""Estimators that trust a reward model, or correct it by weights: DM, DR and its tamed forms."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.terms import Terms
from recbench.evaluation.off_policy.weighted import importance_weights

__all__ = ["direct_method", "doubly_robust", "shrunk_doubly_robust", "switch_doubly_robust"]

Floats = npt.NDArray[np.float64]


class _Expected(NamedTuple):
    logged: Floats
    mean: Floats


def direct_method(feedback: Feedback, target: TargetPolicy) -> Terms:
    """What the reward model expects; the error of the model itself is in no interval."""
    expected = _expected(target).mean
    low, high = feedback.reward_range
    return Terms(
        expected, np.ones(len(feedback)), feedback.units, high - low, feedback.reward_range, 1.0
    )


def doubly_robust(feedback: Feedback, target: TargetPolicy, *, clip: float = np.inf) -> Terms:
    """The model's expectation, and its error where the log shows it, weighted by IPS.

    Unbiased if the propensities are right, whatever the model says, provided that it was not fitted
    to the row it is asked about (`cross_fitted` rewards). With ``clip`` no weight is above it.

    Source: Dudik et al., "Doubly robust policy evaluation and learning", ICML 2011.
    """
    raw = importance_weights(feedback, target)
    return _corrected(feedback, target, np.minimum(raw, clip), bound=clip)


def switch_doubly_robust(feedback: Feedback, target: TargetPolicy, *, switch: float) -> Terms:
    """DR where the weight is at most ``switch``, the model alone above it.

    Source: Wang et al., "Optimal and adaptive off-policy evaluation in contextual bandits", ICML
    2017.
    """
    raw = importance_weights(feedback, target)
    return _corrected(feedback, target, np.where(raw <= switch, raw, 0.0), bound=switch)


def shrunk_doubly_robust(feedback: Feedback, target: TargetPolicy, *, shrinkage: float) -> Terms:
    """DR with weights ``s w / (w^2 + s)``, which rise to ``sqrt(s) / 2`` and fall again.

    Optimistic shrinkage; infinite: `doubly_robust`, zero: `direct_method`.

    Source: Su et al., "Doubly robust off-policy evaluation with shrinkage", ICML 2020.
    """
    if not shrinkage >= 0:
        raise InputError(f"`shrinkage` must not be negative, got {shrinkage}")
    raw = importance_weights(feedback, target)
    weights = raw
    if shrinkage < np.inf:
        weights = shrinkage * raw / np.maximum(raw**2 + shrinkage, np.finfo(np.float64).tiny)
    return _corrected(feedback, target, weights, bound=np.sqrt(shrinkage) / 2)


def _corrected(feedback: Feedback, target: TargetPolicy, weights: Floats, *, bound: float) -> Terms:
    expected = _expected(target)
    numerators = expected.mean + weights * (feedback.rewards - expected.logged)
    low, high = feedback.reward_range
    width = (high - low) * (1 + 2 * min(bound, feedback.largest_inverse))
    total = float(importance_weights(feedback, target).sum())
    lost = 1.0 - float(weights.sum()) / total if total > 0 else 0.0
    ones = np.ones(len(feedback))
    return Terms(numerators, ones, feedback.units, width, feedback.reward_range, lost)


def _expected(target: TargetPolicy) -> _Expected:
    if target.expected_logged is None or target.expected is None:
        raise InputError(
            "This estimator needs a reward model: give `expected_logged` and `expected`, or use "
            "`ips` or `snips`"
        )
    return _Expected(target.expected_logged, target.expected)
