"""The closed loop: the policy decides what is seen, and hears what came of it in time."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.protocol import (
    Asked,
    Clicks,
    Exposures,
    Feedback,
    NewItems,
    Policy,
    Slates,
)
from recbench.datasets.world.together import all_clicks, all_exposures
from recbench.datasets.world.truth import Truth, World
from recbench.errors import InputError

__all__ = ["Shown", "run"]

SOCIAL_HALF_LIFE_H = 3.0  # of the counter of clicks of late

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """(E,) all that was shown, what came of it, and what was to be expected."""

    exposures: Exposures
    clicked: npt.NDArray[np.bool_]
    watch_s: Floats
    known_h: Floats  # when it was known whether there is a click; of no click: at once
    truth: Truth
    clicks_of_late: Floats  # the item's counter when it was shown

    def __len__(self) -> int:
        """The number of exposures."""
        return len(self.exposures)


def run(
    world: World,
    policy: Policy,
    *,
    tick_s: float = 300.0,
    until_h: float | None = None,
    on_tick: Callable[[float], None] | None = None,
) -> Shown:
    """Let ``policy`` serve the world's traffic from the beginning.

    Time goes in ticks: the requests of a tick are answered together, by a policy that was told of
    all that became known before the tick began. A click is known ``delay_s`` after its showing. The
    counter that users see by an item is its clicks until the tick, each counting half as much
    after every three hours.

    Args:
        world: of one seed.
        policy: answers the requests.
        tick_s: > 0, seconds; nothing is fresher than this.
        until_h: hours; default: the end of the world.
        on_tick: told the hour after each tick.

    Raises:
        InputError: a slate is not of the right shape, repeats an item, holds one that cannot be
            shown, or has a propensity outside (0, 1].
    """
    if tick_s <= 0:
        raise InputError(f"`tick_s` must be positive, got {tick_s}")
    end_h = 24 * world.settings.days if until_h is None else until_h
    served = _Served(world)
    policy.observe(served.feedback(0.0))
    for tick in range(int(np.ceil(end_h * 3600 / tick_s - 1e-9))):
        start_h, stop_h = tick * tick_s / 3600, min((tick + 1) * tick_s / 3600, end_h)
        which = world.traffic.between(start_h, stop_h)
        if which.stop > which.start:
            asked = Asked(
                np.arange(which.start, which.stop),
                world.traffic.users[which],
                world.traffic.hours[which],
                world.items.alive(start_h),
                world.settings.slate,
            )
            slates = policy.slates(asked)
            _require_usable(slates, asked, n_items=len(world.items))
            served.show(asked, slates)
        policy.observe(served.feedback(stop_h))
        if on_tick is not None:
            on_tick(stop_h)
    return served.all()


@dataclass(slots=True, eq=False)
class _Served:
    """What was shown so far, and what of it is not known yet."""

    world: World
    parts: list[Shown] = field(default_factory=list)
    told: int = 0  # parts of which the policy knows the exposures
    n_born: int = 0  # items of which it knows
    pending: Clicks | None = None
    counter: Floats = field(default_factory=lambda: np.zeros(0))
    counted_h: float = 0.0

    def show(self, asked: Asked, slates: Slates) -> None:
        n, k = slates.item_ids.shape
        exposures = Exposures(
            np.repeat(asked.request_ids, k),
            np.repeat(asked.user_ids, k),
            slates.item_ids.ravel(),
            np.tile(np.arange(k), n),
            np.repeat(asked.hours, k),
            slates.propensities.ravel(),
        )
        if not len(self.counter):
            self.counter = np.zeros(len(self.world.items))
        of_late = self.counter[exposures.item_ids]
        found = self.world.outcomes(
            exposures.request_ids, exposures.item_ids, exposures.positions, of_late
        )
        known_h = exposures.hours + found.delay_s / 3600
        self.parts.append(
            Shown(exposures, found.clicked, found.watch_s, known_h, found.truth, of_late)
        )

    def feedback(self, until_h: float) -> Feedback:
        """What became known since the last call."""
        new = self.parts[self.told :]
        self.told = len(self.parts)
        shown = _joined(new) if new else None
        clicks = [] if self.pending is None else [self.pending]
        if shown is not None:
            self._count(shown, until_h)
            hit = np.flatnonzero(shown.clicked)
            clicks.append(Clicks(shown.exposures.take(hit), shown.watch_s[hit], shown.known_h[hit]))
        due, self.pending = _parted(clicks, until_h)
        exposures = shown.exposures if shown is not None else all_exposures([])
        return Feedback(until_h, self._born(until_h), exposures, due)

    def _count(self, shown: Shown, until_h: float) -> None:
        self.counter *= 0.5 ** ((until_h - self.counted_h) / SOCIAL_HALF_LIFE_H)
        self.counted_h = until_h
        clicked = shown.exposures.item_ids[shown.clicked]
        self.counter += np.bincount(clicked, minlength=len(self.counter))

    def _born(self, until_h: float) -> NewItems:
        items = self.world.items
        upto = int(np.searchsorted(items.born_h, until_h, side="left"))
        new = slice(self.n_born, upto)
        self.n_born = upto
        rows = np.arange(new.start, new.stop)
        return NewItems(rows, items.category[new], items.born_h[new], items.duration_s[new])

    def all(self) -> Shown:
        return _joined(self.parts) if self.parts else _nothing()


def _joined(parts: list[Shown]) -> Shown:
    """One after the other."""
    return Shown(
        all_exposures([part.exposures for part in parts]),
        np.concatenate([part.clicked for part in parts]),
        np.concatenate([part.watch_s for part in parts]),
        np.concatenate([part.known_h for part in parts]),
        Truth(
            np.concatenate([part.truth.click_probability for part in parts]),
            np.concatenate([part.truth.expected_watch_s for part in parts]),
        ),
        np.concatenate([part.clicks_of_late for part in parts]),
    )


def _parted(clicks: list[Clicks], until_h: float) -> tuple[Clicks, Clicks]:
    """Those known by then, in order of when, and those to come."""
    found = all_clicks(clicks)
    order = np.argsort(found.known_h, kind="stable")
    n_due = int(np.searchsorted(found.known_h[order], until_h, side="right"))
    return found.take(order[:n_due]), found.take(order[n_due:])


def _nothing() -> Shown:
    none = np.zeros(0)
    return Shown(all_exposures([]), none.astype(bool), none, none, Truth(none, none), none)


def _require_usable(slates: Slates, asked: Asked, *, n_items: int) -> None:
    shape = (len(asked), asked.slate)
    for name in ("item_ids", "propensities"):
        if (got := getattr(slates, name).shape) != shape:
            raise InputError(f"`slates.{name}` must be {shape}, got {got}")
    can_be_shown = np.zeros(n_items + 1, dtype=bool)
    can_be_shown[asked.item_ids] = True
    known = (slates.item_ids >= 0) & (slates.item_ids < n_items)
    bad = ~can_be_shown[np.where(known, slates.item_ids, n_items)]
    if bad.any():
        raise InputError(
            f"Item {slates.item_ids[bad][0]} cannot be shown at hour {asked.hours[0]:.2f}: it is "
            "not in `asked.item_ids`"
        )
    ordered = np.sort(slates.item_ids, axis=1)
    if (twice := ordered[:, 1:] == ordered[:, :-1]).any():
        raise InputError(f"Item {ordered[:, 1:][twice][0]} stands twice in a slate")
    outside = ~((slates.propensities > 0) & (slates.propensities <= 1 + 1e-9))
    if outside.any():
        raise InputError(f"Propensities must be in (0, 1], got {slates.propensities[outside][0]}")
