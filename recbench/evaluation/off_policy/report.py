"""Several policies on one log: estimates, differences, diagnostics, or "cannot tell"."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recbench.errors import InputError
from recbench.evaluation.off_policy.diagnostics import Diagnostics, Thresholds, diagnose
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.intervals import (
    RESAMPLES,
    Bounds,
    bernstein,
    bernstein_difference,
    bootstrap,
    bootstrap_differences,
)
from recbench.evaluation.off_policy.terms import Terms

__all__ = ["Comparison", "Estimate", "Estimator", "Verdict", "compare"]

Estimator = Callable[[Feedback, TargetPolicy], Terms]
MOST_LOST = 0.05  # of the weight; beyond it a clipped estimate is of another policy


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with both of its intervals."""

    bootstrap: Bounds
    bernstein: Bounds
    lost_frac: float  # of the importance weight, by clipping or a switch; 1: the model alone


@dataclass(frozen=True, slots=True)
class Verdict:
    """A policy by one estimator. Without an estimate, ``reasons`` say why nothing can be told."""

    policy: str
    estimator: str
    estimate: Estimate | None
    difference: Estimate | None  # to the baseline, paired; None for the baseline itself
    reasons: tuple[str, ...]

    @property
    def can_tell(self) -> bool:
        """Whether there is a number."""
        return self.estimate is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Policies on one log, with the diagnostics of each."""

    baseline: str
    verdicts: list[Verdict]
    diagnostics: dict[str, Diagnostics]

    def rows(self) -> list[dict[str, Any]]:
        """One row a policy and estimator, for a table; numbers are None where none can be told."""
        return [_row(verdict, self.diagnostics[verdict.policy]) for verdict in self.verdicts]


def compare(
    feedback: Feedback,
    policies: Mapping[str, TargetPolicy],
    estimators: Mapping[str, Estimator],
    *,
    baseline: str,
    limits: Thresholds | None = None,
    missing_reward_frac: float = 0.0,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """What each policy would have earned, and how much more than ``baseline``, paired by unit.

    Args:
        feedback: the log.
        policies: by name, each at the decisions of this log.
        estimators: by name.
        baseline: a name among ``policies``.
        limits: beyond which nothing is told.
        missing_reward_frac: of rows that were left out, as their reward never came.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        InputError: ``baseline`` is none of the policies.
    """
    if baseline not in policies:
        raise InputError(f"`baseline` must be one of {sorted(policies)}, got {baseline!r}")
    limits = limits or Thresholds()
    diagnostics = {
        name: diagnose(feedback, policy, missing_reward_frac=missing_reward_frac)
        for name, policy in policies.items()
    }
    objections = {name: found.objections(limits) for name, found in diagnostics.items()}
    verdicts = []
    for estimator, estimate in estimators.items():
        terms = {n: estimate(feedback, policy) for n, policy in policies.items()}
        reasons = {n: (*objections[n], *_of_terms(terms[n], estimator)) for n in policies}
        told = [name for name in policies if not reasons[name]]
        found = _estimates(terms, told, baseline=baseline, seed=seed, resamples=resamples)
        for name in policies:
            value, difference = found.get(name, (None, None))
            verdicts.append(Verdict(name, estimator, value, difference, reasons[name]))
    return Comparison(baseline, verdicts, diagnostics)


def _estimates(
    terms: Mapping[str, Terms], told: list[str], *, baseline: str, seed: int, resamples: int
) -> dict[str, tuple[Estimate, Estimate | None]]:
    """Of the policies that can be told; no differences where the baseline cannot."""
    if not told:
        return {}
    values = bootstrap([terms[n] for n in told], seed=seed, resamples=resamples)
    others = [name for name in told if name != baseline] if baseline in told else []
    differences: dict[str, Estimate] = {}
    if others:
        pairs = [(terms[name], terms[baseline]) for name in others]
        drawn = bootstrap_differences(pairs, seed=seed, resamples=resamples)
        for name, bounds in zip(others, drawn, strict=True):
            safe = bernstein_difference(terms[name], terms[baseline])
            differences[name] = Estimate(bounds, safe, terms[name].lost_frac)
    return {
        name: (Estimate(b, bernstein(terms[name]), terms[name].lost_frac), differences.get(name))
        for name, b in zip(told, values, strict=True)
    }


def _of_terms(terms: Terms, estimator: str) -> list[str]:
    """Objections to the estimate itself."""
    if not terms.denominators.sum() > 0:
        return ["nothing that was logged is what it would have shown"]
    if terms.lost_frac > MOST_LOST and "dm" not in estimator.split("-"):
        return [f"{terms.lost_frac:.1%} of the weight is lost by clipping"]
    return []


def _row(verdict: Verdict, diagnostics: Diagnostics) -> dict[str, Any]:
    estimate, difference = verdict.estimate, verdict.difference
    row: dict[str, Any] = {"policy": verdict.policy, "estimator": verdict.estimator}
    for label, found in (("", estimate), ("difference_", difference)):
        for kind in ("bootstrap", "bernstein"):
            bounds = None if found is None else getattr(found, kind)
            if kind == "bootstrap":
                row[f"{label}value"] = None if bounds is None else bounds.value
            row[f"{label}{kind}_low"] = None if bounds is None else bounds.low
            row[f"{label}{kind}_high"] = None if bounds is None else bounds.high
    row["effective_rows"] = diagnostics.effective_rows
    row["unsupported_mass"] = diagnostics.unsupported_mass
    row["largest_share"] = diagnostics.largest_share
    row["told"] = "yes" if verdict.can_tell else "cannot tell: " + "; ".join(verdict.reasons)
    return row
