"""Which combinations of the four dials are tried, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

from recbench.errors import InputError
from recbench.refresh.cadence import EVENT, NEVER, Cadence

__all__ = ["DIALS", "Arm", "arms_of", "factorial", "release_arm", "together"]

DIALS = ("history", "statistics", "weights", "index")


@dataclass(frozen=True, slots=True, order=True)
class Arm:
    """How often each dial is refreshed."""

    history: Cadence  # what is seen of the user's past
    statistics: Cadence  # popularity
    weights: Cadence  # what was learned
    index: Cadence  # which items can be shown

    @property
    def name(self) -> str:
        """Also of its files."""
        return "_".join(f"{dial[0]}-{getattr(self, dial).name}" for dial in DIALS)

    @property
    def is_ideal(self) -> bool:
        """Whether any dial has no lag, as nothing real has."""
        return any(getattr(self, dial).is_ideal for dial in DIALS)

    def turned(self, dial: str, cadence: Cadence) -> Self:
        """The same with one dial at another cadence."""
        return replace(self, **{dial: cadence})


def together(cadence: Cadence) -> Arm:
    """All four dials at one cadence."""
    return Arm(cadence, cadence, cadence, cadence)


def release_arm(cadence: Cadence) -> Arm:
    """As a release is served: its parts are refreshed together, histories at every event."""
    return replace(together(cadence), history=EVENT)


def factorial(coarse: Cadence, fine: Cadence, *, finest: Cadence) -> list[Arm]:
    """All 16 ways of having each dial at one of two cadences; arm i has dial d fine at bit d of i.

    Args:
        coarse: of the dials that are stale.
        fine: of those that are fresh; ``event`` is for histories, others are at ``finest`` then.
        finest: the freshest cadence that has a length.
    """
    if coarse.staleness_us <= fine.staleness_us:
        raise InputError(f"The first cadence must be the staler one, got {coarse}, {fine}")
    fresh = (fine, *(finest if fine.is_ideal else fine for _ in DIALS[1:]))
    return [
        Arm(*(fresh[d] if chosen[d] else coarse for d in range(len(DIALS))))
        for chosen in (flags[::-1] for flags in product((False, True), repeat=len(DIALS)))
    ]


def arms_of(
    cadences: Sequence[Cadence], factorials: Sequence[tuple[Cadence, Cadence]]
) -> list[Arm]:
    """Every arm once: nothing, releases, all dials, single dials, factorials.

    Single dials move while the others are at their freshest, so that what each loses is its own.

    Args:
        cadences: any order, at least one with a length.
        factorials: pairs of a stale and a fresh cadence.
    """
    timed = sorted((c for c in cadences if c.every_us), key=lambda c: c.staleness_us)
    return [*dict.fromkeys(_arms({NEVER, *timed}, factorials, finest=timed[0]))]


def _arms(
    cadences: set[Cadence], factorials: Sequence[tuple[Cadence, Cadence]], *, finest: Cadence
) -> Iterator[Arm]:
    ordered = sorted(cadences, key=lambda c: c.staleness_us, reverse=True)
    freshest = release_arm(finest)
    for cadence in ordered:
        yield release_arm(cadence)
        yield together(cadence)
        yield from (freshest.turned(dial, cadence) for dial in DIALS)
    for coarse, fine in factorials:
        yield from factorial(coarse, fine, finest=finest)
