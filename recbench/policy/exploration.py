"""The share of what is shown that is left to chance, declared beforehand, and the chances of it."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.policy.race import draw, mixed_weights, slot_chances

__all__ = ["ExplorationBudget", "Explored", "LeftToChance", "explored", "left_to_chance"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DIALS: dict[str, Any] = {
    "traffic": float,
    "slots": int,
    "first_slot": int,
    "pool": int,
    "temperature": float,
    "even": float,
}  # as people write a budget
USUAL_TRAFFIC = 0.1  # where nothing is said of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationBudget:
    """How much is left to chance, and among what."""

    traffic_frac: float  # of requests, in [0, 1]; the others are made by rule
    slots: int = 1  # of a list that chance fills
    first_slot: int = 1  # the first of them; what stands before is the rule's
    pool: int = 100  # the best items below those that the rule has placed
    temperature: float = 1.0  # of the scores
    even: float = 0.1  # the share of the weights that all of the pool have alike

    def __post_init__(self) -> None:
        """Refuse a budget that cannot be kept."""
        if not 0 <= self.traffic_frac <= 1:
            raise InputError(f"`traffic_frac` must lie in [0, 1], got {self.traffic_frac}")
        for name, least in (("slots", 1), ("first_slot", 0), ("pool", 2)):
            if getattr(self, name) < least:
                raise InputError(f"`{name}` must be at least {least}, got {getattr(self, name)}")
        if self.slots >= self.pool:
            raise InputError(f"`pool` must be larger than `slots` {self.slots}, got {self.pool}")
        mixed_weights(np.zeros(1), temperature=self.temperature, even=self.even)

    @classmethod
    def of(cls, words: str) -> Self:
        """As people write it: ``traffic=0.1,slots=1,first_slot=1,pool=100,temperature=1,even=0.1``.

        Raises:
            InputError: another name, no number, or a budget that cannot be kept.
        """
        given: dict[str, Any] = {"traffic": USUAL_TRAFFIC}
        for word in words.split(","):
            name, _, number = (part.strip() for part in word.partition("="))
            try:
                given[name] = DIALS[name](number)
            except (KeyError, ValueError) as error:
                raise InputError(
                    f"Exploration is NAME=NUMBER of {', '.join(DIALS)}, with commas between; "
                    f"got {word!r}"
                ) from error
        return cls(traffic_frac=given.pop("traffic"), **given)

    @property
    def least_propensity(self) -> float:
        """What every slot that chance fills promises, where the pool is full."""
        return self.even / self.pool

    def n_retrieved(self, k: int) -> int:
        """How many items a list of ``k`` is made of."""
        return k + self.pool


class Explored(NamedTuple):
    """A list of K of the retrieved items; NaN where the rule decides: no chance, no propensity."""

    places: Ints  # (K,) of the items as retrieved
    propensities: Floats  # (K,) given what stands above
    slot_propensities: Floats  # (K,) whatever stands above in slots of chance


def explored(
    scores: npt.NDArray[np.floating],
    k: int,
    budget: ExplorationBudget,
    rng: np.random.Generator,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> Explored:
    """A list whose slots from ``first_slot`` on are drawn, the others in order of the scores.

    The rule's items are the best ones; the pool is what comes after them. A slot whose pool has one
    item left is the rule's, too.

    Args:
        scores: (N,) of retrieved items, best first: filters and blocklists have been applied.
        k: the length of the list; shorter where fewer were retrieved.
        budget: how much is drawn.
        rng: of the draw.
        allowed: (N,) what may be drawn, such as what keeps a constraint; default: everything. What
            is not stays in its order for the rule.
    """
    k = min(k, len(scores))
    nothing = np.full(k, np.nan)
    pool = _pool(len(scores), k, budget, allowed)
    n_drawn = pool.n_drawn
    if not n_drawn:
        return Explored(np.arange(k), nothing, nothing)
    weights = mixed_weights(scores[pool.places], temperature=budget.temperature, even=budget.even)
    drawn = draw(weights, n_drawn, rng)
    by_chance = slice(budget.first_slot, budget.first_slot + n_drawn)
    chosen = pool.places[drawn.places]
    places = np.insert(np.arange(k - n_drawn), budget.first_slot, chosen)
    propensities, by_slot = nothing.copy(), nothing.copy()
    propensities[by_chance] = drawn.chances
    by_slot[by_chance] = drawn.chances if n_drawn == 1 else slot_chances(weights, drawn.places)
    return Explored(places, propensities, by_slot)


class LeftToChance(NamedTuple):
    """What ``explored`` draws from, and by which chances, before it draws."""

    slots: Ints  # (S,) of the list, from 0
    places: Ints  # (P,) of the items as retrieved, best first
    chances: Floats  # (P, S) of each item in each slot, whatever stands in the others


def left_to_chance(
    scores: npt.NDArray[np.floating], k: int, budget: ExplorationBudget
) -> LeftToChance:
    """The slots of chance of one list, and who may stand there; none where the rule decides all.

    Args:
        scores: (N,) of retrieved items, best first.
        k: the length of the list.
        budget: how much is drawn.
    """
    pool = _pool(len(scores), min(k, len(scores)), budget, None)
    n = pool.n_drawn
    if not n:
        return LeftToChance(np.arange(0), np.arange(0), np.zeros((0, 0)))
    weights = mixed_weights(scores[pool.places], temperature=budget.temperature, even=budget.even)
    chances = np.stack([slot_chances(weights, np.full(n, item)) for item in range(len(weights))])
    return LeftToChance(budget.first_slot + np.arange(n), pool.places, chances)


class _Pool(NamedTuple):
    places: Ints
    n_drawn: int


def _pool(
    n: int, k: int, budget: ExplorationBudget, allowed: npt.NDArray[np.bool_] | None
) -> _Pool:
    """What comes after the rule's items, and how many of it are drawn: fewer than there are."""
    for n_drawn in range(min(budget.slots, k - budget.first_slot), 0, -1):
        first = k - n_drawn
        places = np.arange(first, min(n, first + budget.pool))
        if allowed is not None:
            places = places[allowed[places]]
        if len(places) > n_drawn:
            return _Pool(places, n_drawn)
    return _Pool(np.arange(0), 0)
