"""The releases of one dial at one cadence: when each served, what it knew, what it cost."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.cluster.energy import open_meter
from recbench.jobs.freshness.asked import Stretch
from recbench.refresh.cadence import Cadence, Cost, Made, Release, releases, ticks
from recbench.tables.click_stream import ClickStream

__all__ = ["Stopwatch", "Track", "instants_of", "made_over", "measured"]

Ints = npt.NDArray[np.int64]
State = TypeVar("State")
Stopwatch = Callable[[Callable[[], State | None]], tuple[State | None, Cost]]


@dataclass(frozen=True)
class Track:
    """Releases, the oldest first; the first is as of the start and serves from there."""

    cadence: Cadence
    releases: tuple[Release, ...]
    n_empty: int  # windows in which nothing came
    within: tuple[Stretch, ...]  # what was asked about; others were only caught up with

    @cached_property
    def watermarks(self) -> Ints:
        """(N,) microseconds."""
        return np.array([release.watermark for release in self.releases], dtype=np.int64)

    @cached_property
    def served_from(self) -> Ints:
        """(N,) microseconds."""
        return np.array([release.served_from for release in self.releases], dtype=np.int64)

    def serving(self, ts: Ints) -> Ints:
        """(R,) the release that answers at each instant."""
        return np.searchsorted(self.served_from, ts, side="right") - 1

    def known_before(self, ts: Ints) -> Ints:
        """(R,) the watermark of what answers: nothing from it on is known, microseconds."""
        return ts if self.cadence.is_ideal else self.watermarks[self.serving(ts)]

    @property
    def counted(self) -> list[Release]:
        """Releases that a cadence pays for: without the first, and those that only caught up."""
        return [
            release
            for release in self.releases[1:]
            if any(start <= _made_for(release) < end for start, end in self.within)
        ]

    @property
    def cpu_s(self) -> float:
        """Of all releases that count."""
        return sum(release.cost.cpu_s for release in self.counted)

    @property
    def joules(self) -> float:
        """Of all releases that count."""
        return sum(release.cost.joules for release in self.counted)

    @property
    def busy_frac(self) -> float:
        """The part of each window that making its release takes; 1 and more cannot be kept up."""
        if not self.cadence.every_us or not self.counted:
            return 0.0
        made_s = [release.cost.wall_s for release in self.counted]
        return float(np.mean(made_s)) / (self.cadence.every_us / 1e6)

    @property
    def is_sustainable(self) -> bool:
        """Whether releases are made faster than they are wanted."""
        return self.busy_frac < 1.0

    def frame(self) -> pl.DataFrame:
        """One row a release; times in UTC."""
        rows = [
            {
                "watermark": release.watermark,
                "served_from": release.served_from,
                "waited_s": release.waited_s,
                "made_s": release.cost.wall_s,
                "cpu_s": release.cost.cpu_s,
                "joules": release.cost.joules,
                "held": release.held,
            }
            for release in self.releases
        ]
        instants = pl.col("watermark", "served_from").cast(pl.Datetime("us", "UTC"))
        return pl.DataFrame(rows).with_columns(instants)


def made_over(
    cadence: Cadence,
    stream: ClickStream,
    within: Sequence[Stretch],
    *,
    begin: State,
    make: Callable[[State, int], State | None],
    stopwatch: "Stopwatch[State]",
    choose: Callable[[Ints], npt.NDArray[np.bool_]] | None = None,
) -> tuple[Iterator[Made[State]], int]:
    """The releases that answer anything within the stretches, and the number of empty windows.

    Of what is before a stretch only the last release is made, which catches up.

    Args:
        cadence: of the releases.
        stream: the log.
        within: what is asked about.
        begin: the state before the first click.
        make: from a state and an instant, the next state; None: a gate holds it back.
        stopwatch: makes it, and says what that took.
        choose: which of the instants are worth a release; default: all.
    """
    wanted, n_empty = instants_of(cadence, stream, within)

    def one(state: State, to: int) -> tuple[State | None, Cost]:
        return stopwatch(lambda: make(state, to))

    if choose is not None:
        wanted = wanted[choose(wanted)]
    start, end = within[0][0], within[-1][1]
    return releases(wanted, start=start, end=end, begin=begin, make=one), n_empty


def instants_of(
    cadence: Cadence, stream: ClickStream, within: Sequence[Stretch]
) -> tuple[Ints, int]:
    """The watermarks after the first of what answers anything, and the number of empty windows."""
    start, end = within[0][0], within[-1][1]
    instants, _ = ticks(cadence, start=start, end=end, n_known=stream.n_known)
    needed, n_windows = np.zeros(len(instants), dtype=bool), 0
    for first, last in within:
        low, high = np.searchsorted(instants, [first, last])
        needed[max(low - 1, 0) : high] = True
        if cadence.every_us:
            n_windows += len(np.arange(first, last, cadence.every_us)) - (first == start)
    inside = sum(int(((instants >= a) & (instants < b)).sum()) for a, b in within)
    return instants[needed], n_windows - inside


def _made_for(release: Release) -> int:
    """Where its cost belongs; one that was held back keeps the watermark of what serves on."""
    return release.served_from if release.held else release.watermark


def measured() -> "Stopwatch[State]":
    """Wall and CPU seconds of this process, and joules by the machine's best meter."""
    # finer than the clock ticks that a meter counts by itself
    meter = open_meter(cpu_seconds=time.process_time)

    def watch(make: Callable[[], State | None]) -> tuple[State | None, Cost]:
        joules, cpu_s, wall_s = meter(), time.process_time(), time.perf_counter()
        state = make()
        cost = Cost(
            wall_s=time.perf_counter() - wall_s,
            cpu_s=time.process_time() - cpu_s,
            joules=meter() - joules,
        )
        return state, cost

    return watch
