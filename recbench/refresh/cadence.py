"""How often something is refreshed, and from when on a release serves: pure functions of time."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["EVENT", "NEVER", "Cadence", "Cost", "Release", "releases", "ticks"]

Ints = npt.NDArray[np.int64]
State = TypeVar("State")

TEXT = re.compile(r"(?P<number>\d+)\s*(?P<unit>s|m|h|d)")
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True, order=True)
class Cadence:
    """Every so many microseconds; None: never; 0: at every event, without any lag."""

    name: str
    every_us: int | None

    @classmethod
    def of(cls, text: str) -> Self:
        """``never``, ``event``, or a number with its unit such as ``90s``, ``15m``, ``1h``, ``1d``.

        Raises:
            InputError: it is none of these.
        """
        text = text.strip()
        if text in {"never", "event"}:
            return cls(text, None if text == "never" else 0)
        found = TEXT.fullmatch(text)
        every_s = int(found["number"]) * UNITS_S[found["unit"]] if found else 0
        if not every_s:
            raise InputError(
                f"A cadence is never, event, or a length of time such as 90s, 15m, 1h or 1d, "
                f"got {text!r}"
            )
        return cls(text, every_s * 1_000_000)

    @property
    def is_ideal(self) -> bool:
        """Whether it has no lag at all, as nothing real has."""
        return self.every_us == 0

    @property
    def staleness_us(self) -> float:
        """What cadences are ordered by: the freshest first."""
        return float("inf") if self.every_us is None else self.every_us

    def __str__(self) -> str:
        """As tables show it."""
        return f"{self.name} (ideal)" if self.is_ideal else self.name


NEVER, EVENT = Cadence("never", None), Cadence("event", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What making one release took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    joules: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What knows every click that was known before ``watermark``, and serves from later on."""

    watermark: int  # microseconds
    served_from: int  # microseconds; the watermark plus the time it waited and took
    waited_s: float  # for the release before it to be made
    cost: Cost = field(default_factory=Cost)
    held: bool = False  # by a gate: the release before it serves on, and the cost was in vain


def ticks(
    cadence: Cadence, *, start: int, end: int, n_known: Callable[[Ints], Ints]
) -> tuple[Ints, int]:
    """The instants after ``start`` at which there is something to learn, and how many had nothing.

    Args:
        cadence: counted from ``start``.
        start: microseconds; everything begins with a release as of it.
        end: microseconds; ticks lie before it.
        n_known: clicks that are known before each instant.
    """
    if not cadence.every_us:
        return np.empty(0, dtype=np.int64), 0
    every = np.arange(start, end, cadence.every_us)
    known = n_known(every)
    told = np.flatnonzero(np.diff(known) > 0) + 1
    return every[told], len(every) - 1 - len(told)


@dataclass(frozen=True, slots=True)
class Made(Generic[State]):
    """A release with what it holds."""

    release: Release
    state: State


def releases(
    instants: Ints,
    *,
    start: int,
    end: int,
    begin: State,
    make: Callable[[State, int], tuple[State | None, Cost]],
) -> Iterator[Made[State]]:
    """One release after another; who comes while one is made waits, and keeps its watermark.

    The first is as of ``start`` and serves from there, for free: all arms begin alike. Releases
    that could not be begun before ``end`` are not made. One that a gate holds back takes its time,
    and leaves state and watermark as they were.

    Args:
        instants: ascending watermarks after ``start``, microseconds.
        start: microseconds.
        end: microseconds.
        begin: the state before the first release.
        make: from the state before and a watermark, the next state, or None where a gate holds it
            back, and what it took.
    """
    first, _ = make(begin, start)
    if first is None:
        raise InputError("Nothing was there before the first release, so it cannot be held back")
    state, known, free_at = first, start, start
    yield Made(Release(watermark=start, served_from=start, waited_s=0.0), state)
    for watermark in instants.tolist():
        begun = max(watermark, free_at)
        if begun >= end:
            return
        found, cost = make(state, watermark)
        free_at = begun + round(cost.wall_s * 1e6)
        if found is not None:
            state, known = found, watermark
        release = Release(
            watermark=known,
            served_from=free_at,
            waited_s=(begun - watermark) / 1e6,
            cost=cost,
            held=found is None,
        )
        yield Made(release, state)
