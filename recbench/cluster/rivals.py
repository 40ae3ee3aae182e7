"""Other ways to size a cluster: fixed, following the load, and Dask's own rule."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from recbench.cluster.load_trace import LoadTrace
from recbench.cluster.scaling import ClusterState, DueWork
from recbench.cluster.simulate import Machine, Outcome, simulate

__all__ = ["DaskRule", "Fixed", "Reactive", "best_static"]


@dataclass(frozen=True, slots=True)
class _RunsAtOnce:
    def runs_now(self, work: DueWork, state: ClusterState) -> bool:
        """Whatever comes is let to the workers."""
        return True


@dataclass(frozen=True, slots=True)
class Fixed(_RunsAtOnce):
    """Always so many workers; lost ones are replaced."""

    n_workers: int

    def target(self, state: ClusterState) -> int:
        """The same, whatever happens."""
        return self.n_workers


@dataclass(frozen=True, slots=True)
class Reactive(_RunsAtOnce):
    """As many workers as the work of the last quarter of an hour keeps busy, and some headroom."""

    headroom: float = 0.0
    minimum: int = 2

    def target(self, state: ClusterState) -> int:
        """The rate of arriving work, with headroom."""
        wanted = math.ceil(state.arriving * (1 + self.headroom))
        return max(self.minimum, wanted, _largest_gang(state))


@dataclass(frozen=True, slots=True)
class DaskRule(_RunsAtOnce):
    """Dask's adaptive: enough workers for all known work in ``target_duration_s``."""

    target_duration_s: float = 5.0  # Dask's default
    minimum: int = 2
    patience_s: float = 45.0  # an idle worker goes after three polls, as with Dask's wait_count

    def target(self, state: ClusterState) -> int:
        """By the work that is known, but not more workers than tasks."""
        work_s = sum(work.work_s for work in state.work)
        n_places = sum(work.n_tasks * work.gang for work in state.work)
        wanted = min(math.ceil(work_s / self.target_duration_s), n_places)
        leaving = sum(idle_s > self.patience_s for idle_s in state.idle_s)
        kept = state.n_ready + state.n_starting - leaving
        return max(self.minimum, wanted, kept, _largest_gang(state))


def _largest_gang(state: ClusterState) -> int:
    """With fewer workers it would wait for ever, and all that is due after it."""
    return max((work.gang for work in state.work), default=0)


def best_static(trace: LoadTrace, machine: Machine) -> tuple[int, Outcome]:
    """The smallest fixed size that misses no more deadlines than the largest; by hindsight.

    Found by halving, then by trying on downwards for as long as that helps, for with failures
    a smaller size may be luckier.
    """
    tried: dict[int, Outcome] = {}

    def outcome(size: int) -> Outcome:
        if size not in tried:
            tried[size] = simulate(trace, Fixed(size), machine)
        return tried[size]

    allowed = outcome(machine.most).n_missed
    size = _smallest(lambda size: outcome(size).n_missed <= allowed, machine.most)
    while size > 2 and (
        smaller := [s for s in (size - 1, size - 2) if outcome(s).n_missed <= allowed]
    ):
        size = smaller[-1]
    return size, outcome(size)


def _smallest(serves: Callable[[int], bool], largest: int) -> int:
    """By halving, taking it that larger ones serve if one does; ``largest`` serves."""
    low, high = 0, largest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high
