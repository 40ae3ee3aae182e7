"""A list of candidates by scores, some slots of which are left to chance within a budget."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.bandits import Rule

__all__ = ["DecidedList", "DecisionDials", "decided_list"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
RULES = ("greedy", "ucb", "thompson")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionDials:
    """How a policy decides, for which requests, and how much of that chance may decide."""

    rule: Rule = "thompson"  # greedy (with epsilon: epsilon-greedy), ucb (LinUCB) or thompson
    scale: float = 0.3  # of the bonus, or of the noise
    epsilon: float = 0.05  # chance that a slot of the budget shows any candidate
    slots: int = 1_000_000  # of a list that chance may fill
    first_slot: int = 0  # the first of them
    traffic: float = 1.0  # share of requests that the policy decides; the others are the tower's
    candidates: int = 100  # C, retrieved for a list
    at_most: float = 1.0  # share of shown slots in which chance may have shown something else
    least_events: float = 500.0  # a policy that has learnt from fewer leaves the order to the tower

    def __post_init__(self) -> None:
        """Refuse a budget that cannot be kept."""
        if self.rule not in RULES:
            raise InputError(f"`rule` must be one of {', '.join(RULES)}, got {self.rule!r}")
        for name in ("epsilon", "traffic", "at_most"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}")
        for name, least in (("scale", 0), ("slots", 0), ("first_slot", 0), ("candidates", 2)):
            if not getattr(self, name) >= least:
                raise InputError(f"`{name}` must be at least {least}, got {getattr(self, name)}")
        if not self.least_events >= 0:
            raise InputError(f"`least_events` must not be negative, got {self.least_events}")

    @property
    def least_propensity(self) -> float:
        """What every slot that chance may fill promises."""
        return self.epsilon / self.candidates


class DecidedList(NamedTuple):
    """A list of K candidates; NaN where the rule alone decides: no chance, no propensity."""

    places: Ints  # (K,)
    propensities: Floats  # (K,) given those above, and the scores
    n_strayed: int  # slots in which chance showed something else than the rule would have


def decided_list(
    scores: npt.NDArray[np.floating],
    k: int,
    dials: DecisionDials,
    rng: np.random.Generator,
    *,
    allowed: Bools | None = None,
) -> DecidedList:
    """A list whose slots are, each with chance epsilon, one of the allowed left, else the best.

    A propensity is 1 - epsilon (if the item is the best of those left) plus epsilon over the number
    of allowed ones (if it is one). It holds given the scores, also such as were drawn. A slot in
    which nothing else could have been shown has none.

    Args:
        scores: (C,) of candidates; filters and blocklists have been applied.
        k: the length of the list; shorter where there are fewer candidates.
        dials: the budget.
        rng: of the draws.
        allowed: (C,) what chance may show, such as what keeps a floor; default: everything.
    """
    left = np.argsort(-scores, kind="stable").tolist()
    k = min(k, len(left))
    may = set(left if allowed is None else np.flatnonzero(allowed).tolist())
    places: list[int] = []
    propensities, n_strayed = np.full(k, np.nan), 0
    at_random, luck = (rng.random(k) < dials.epsilon).tolist(), rng.random(k).tolist()
    end = dials.first_slot + dials.slots
    for slot in range(k):
        best = left[0]
        n_may = len(may)
        by_chance = dials.first_slot <= slot < end and dials.epsilon > 0
        if by_chance and n_may > (best in may):  # something else could be shown
            place = best
            if at_random[slot]:
                place = _nth_of(left, may, int(luck[slot] * n_may))
            chance = (1 - dials.epsilon) * (place == best) + dials.epsilon * (place in may) / n_may
            propensities[slot] = chance
            n_strayed += place != best
        else:
            place = best
        left.remove(place)
        may.discard(place)
        places.append(place)
    return DecidedList(np.array(places, dtype=np.int64), propensities, n_strayed)


def _nth_of(left: list[int], may: set[int], number: int) -> int:
    """The allowed candidate with this number among those that are left."""
    if len(may) == len(left):
        return left[number]
    return [place for place in left if place in may][number]
