"""What a policy is asked, what it answers, and what it is told: never what is to come."""

from dataclasses import dataclass, fields
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

__all__ = ["Asked", "Clicks", "Exposures", "Feedback", "NewItems", "Policy", "Slates"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """R requests of one tick of the clock."""

    request_ids: Ints  # (R,)
    user_ids: Ints  # (R,)
    hours: Floats  # (R,) since the beginning of the world
    item_ids: Ints  # (N,) what can be shown at the beginning of the tick, ascending
    slate: int  # how many of them each request is shown

    def __len__(self) -> int:
        """The number of requests."""
        return len(self.request_ids)

    def take(self, which: npt.NDArray[np.bool_]) -> Self:
        """Some of the requests."""
        mine = (self.request_ids[which], self.user_ids[which], self.hours[which])
        return type(self)(*mine, self.item_ids, self.slate)


@dataclass(frozen=True, slots=True, eq=False)
class Slates:
    """What is shown: R slates of different items, the first position first."""

    item_ids: Ints  # (R, slate)
    # (R, slate) chance of the item at its position, given the items of this request before it: the
    # product over positions is the chance of the slate, the first column that of the item alone
    propensities: Floats

    @classmethod
    def empty(cls, asked: Asked) -> Self:
        """To be filled in."""
        shape = (len(asked), asked.slate)
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape))


@dataclass(frozen=True, slots=True, eq=False)
class NewItems:
    """Items that were published since the last feedback, in order of birth: ids ascend."""

    item_ids: Ints
    categories: Ints
    born_h: Floats  # hours since the beginning; below 0 if before it
    duration_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Exposures:
    """(E,) what was shown, in order of request and position; nobody knows of a click yet."""

    request_ids: Ints
    user_ids: Ints
    item_ids: Ints
    positions: Ints
    hours: Floats
    propensities: Floats

    def __len__(self) -> int:
        """The number of exposures."""
        return len(self.request_ids)

    def take(self, which: Ints | npt.NDArray[np.bool_]) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Clicks:
    """(C,) clicks that became known, in order of when; each repeats its exposure."""

    of: Exposures
    watch_s: Floats
    known_h: Floats  # hours since the beginning

    def __len__(self) -> int:
        """The number of clicks."""
        return len(self.of)

    def take(self, which: Ints) -> Self:
        """Some of them."""
        return type(self)(self.of.take(which), self.watch_s[which], self.known_h[which])


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """What became known until ``until_h``: to be learnt from, at once or later."""

    until_h: float
    new_items: NewItems
    exposures: Exposures
    clicks: Clicks


class Policy(Protocol):
    """Decides what is seen; a release, a baseline and a bandit answer the same two calls."""

    def observe(self, feedback: Feedback) -> None:
        """Take note of what became known; called after each tick, and once before the first."""
        ...

    def slates(self, asked: Asked) -> Slates:
        """What to show; items of ``asked.item_ids``, none twice in a slate."""
        ...
