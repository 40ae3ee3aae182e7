"""Estimators that reweight what was logged: IPS, SNIPS, clipped IPS, replay."""

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.terms import Terms

__all__ = ["clipped_ips", "importance_weights", "ips", "replay", "snips"]

Floats = npt.NDArray[np.float64]
UNIFORM_ERROR = 1e-6


def importance_weights(feedback: Feedback, target: TargetPolicy) -> Floats:
    """(N,) target over logging propensity.

    Raises:
        InputError: the policy is that of another log.
    """
    if target.propensities.shape != feedback.propensities.shape:
        raise InputError(
            f"The target policy has {len(target.propensities)} decisions, the log {len(feedback)}"
        )
    return target.propensities / feedback.propensities


def ips(feedback: Feedback, target: TargetPolicy) -> Terms:
    """Inverse propensity scoring: unbiased where all that the target shows could be logged.

    Source: Horvitz and Thompson, 1952; Strehl et al., "Learning from logged implicit exploration
    data", NeurIPS 2010.
    """
    return clipped_ips(feedback, target, clip=np.inf)


def clipped_ips(feedback: Feedback, target: TargetPolicy, *, clip: float) -> Terms:
    """IPS with no weight above ``clip``: less variance, and too low where rewards are positive.

    ``lost_frac`` of the result times the largest reward bounds what is missing.
    """
    if not clip > 0:
        raise InputError(f"`clip` must be positive, got {clip}")
    raw = importance_weights(feedback, target)
    weights = np.minimum(raw, clip)
    low, high = feedback.reward_range
    bound = min(clip, feedback.largest_inverse)
    return Terms(
        weights * feedback.rewards,
        np.ones(len(feedback)),
        feedback.units,
        bound * (max(high, 0.0) - min(low, 0.0)),
        feedback.reward_range,
        _lost(raw, weights),
    )


def snips(feedback: Feedback, target: TargetPolicy) -> Terms:
    """Self-normalised IPS: within the rewards' range, biased by the order of 1/N.

    Source: Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning",
    NeurIPS 2015.
    """
    weights = importance_weights(feedback, target)
    low, high = feedback.reward_range
    width = feedback.largest_inverse * (high - low)
    return Terms(weights * feedback.rewards, weights, feedback.units, width, feedback.reward_range)


def replay(feedback: Feedback, target: TargetPolicy) -> Terms:
    """The mean reward where the log did what the target would have done for sure.

    Raises:
        InputError: the log is not uniform: matches would be those that the logging policy likes.

    Source: Li et al., "Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms", WSDM 2011.
    """
    least, most = float(feedback.propensities.min()), float(feedback.propensities.max())
    if most - least > UNIFORM_ERROR:
        raise InputError(
            f"Replay needs a log whose actions were all as likely, but propensities span {least} "
            f"to {most}: use `snips`, which weighs them"
        )
    matches = (importance_weights(feedback, target) * feedback.propensities) >= 1.0
    low, high = feedback.reward_range
    counted = matches.astype(np.float64)
    return Terms(
        counted * feedback.rewards, counted, feedback.units, high - low, feedback.reward_range
    )


def _lost(raw: Floats, used: Floats) -> float:
    total = float(raw.sum())
    return 1.0 - float(used.sum()) / total if total > 0 else 0.0
