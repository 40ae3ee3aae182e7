"""Whole lists: rewards of all slots, with weights by list, by slot, or by what stands above.

Which estimator is right depends on what a slot's reward depends on: all slots of the list
(`standard_ips`), its own item (`independent_ips`), or its own and those above it, as for users who
read downwards (`interaction_ips`, `cascade_doubly_robust`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.evaluation.off_policy.terms import Terms

__all__ = [
    "SlateFeedback",
    "cascade_doubly_robust",
    "independent_ips",
    "interaction_ips",
    "standard_ips",
]

Floats = npt.NDArray[np.float64]
ORDER_ERROR = 1e-9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SlateFeedback:
    """S lists of K slots, each filled by chance, under two policies.

    ``slot`` is the chance of the item at its place whatever stands elsewhere; ``cascade`` that of
    this slot and all above it together, so that the last one is the chance of the whole list.
    """

    rewards: Floats  # (S, K)
    logging_slot: Floats  # (S, K) in (0, 1]
    logging_cascade: Floats  # (S, K) in (0, 1], never rising along a list
    target_slot: Floats  # (S, K) of the logged lists under the other policy, in [0, 1]
    target_cascade: Floats  # (S, K)
    reward_range: tuple[float, float] = (0.0, 1.0)  # of one slot

    def __post_init__(self) -> None:
        """Refuse shapes that differ, chances that are none, and cascades that rise."""
        shape = self.rewards.shape
        if len(shape) != 2 or 0 in shape:
            raise InputError(f"`rewards` must have a row a list and a column a slot, got {shape}")
        for name in ("logging_slot", "logging_cascade", "target_slot", "target_cascade"):
            values = getattr(self, name)
            if values.shape != shape:
                raise InputError(f"`{name}` must have shape {shape}, got {values.shape}")
            low = values > 0 if name.startswith("logging") else values >= 0
            bad = ~(low & (values <= 1 + ORDER_ERROR))
            if bad.any():
                where = tuple(int(i) for i in np.argwhere(bad)[0])
                raise InputError(
                    f"`{name}` must hold chances; list {where[0]}, slot {where[1]} has "
                    f"{values[where]}"
                )
            rising = np.diff(values, axis=1) > ORDER_ERROR
            if name.endswith("cascade") and rising.any():
                at = int(np.argwhere(rising)[0][0])
                raise InputError(f"`{name}` must not rise along a list, but list {at} does")


def standard_ips(slates: SlateFeedback) -> Terms:
    """Every slot weighted by the whole list's chances; unbiased always, hopeless for long lists."""
    joint = slates.target_cascade[:, -1:] / slates.logging_cascade[:, -1:]
    return _weighted(slates, np.broadcast_to(joint, slates.rewards.shape))


def independent_ips(slates: SlateFeedback) -> Terms:
    """Every slot weighted by its own item's chances (IIPS).

    Source: Li et al., "Offline evaluation of ranking policies with click models", KDD 2018.
    """
    return _weighted(slates, slates.target_slot / slates.logging_slot)


def interaction_ips(slates: SlateFeedback) -> Terms:
    """Every slot weighted by the chances of what stands at and above it (RIPS).

    Source: McInerney et al., "Counterfactual evaluation of slate recommendations with sequential
    reward interactions", KDD 2020.
    """
    return _weighted(slates, slates.target_cascade / slates.logging_cascade)


def cascade_doubly_robust(
    slates: SlateFeedback, *, expected_logged: Floats, expected: Floats
) -> Terms:
    """RIPS that weighs only the error of a reward model.

    Args:
        slates: the lists.
        expected_logged: (S, K) a model's sum of the rewards from this slot on, given what was
            logged down to here; with a model of single slots, that slot's own.
        expected: (S, K) the same, with this slot's item drawn by the target policy.

    Source: Kiyohara et al., "Doubly robust off-policy evaluation for ranking policies under the
    cascade behavior model", WSDM 2022.
    """
    weights = slates.target_cascade / slates.logging_cascade
    above = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    rows = weights * (slates.rewards - expected_logged) + above * expected
    width = 2 * float((weights.max(axis=0) + above.max(axis=0)).sum()) * _reach(slates)
    return _terms(slates, rows.sum(axis=1), width)


def _weighted(slates: SlateFeedback, weights: Floats) -> Terms:
    rows = (weights * slates.rewards).sum(axis=1)
    return _terms(slates, rows, float(weights.max(axis=0).sum()) * _reach(slates))


def _terms(slates: SlateFeedback, numerators: Floats, width: float) -> Terms:
    n, k = slates.rewards.shape
    low, high = slates.reward_range
    return Terms(numerators, np.ones(n), np.arange(n), width, (k * low, k * high))


def _reach(slates: SlateFeedback) -> float:
    low, high = slates.reward_range
    return max(high, 0.0) - min(low, 0.0)
