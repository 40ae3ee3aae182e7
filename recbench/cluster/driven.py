"""A scaling policy that answers a live scheduler: it remembers what a single look does not show."""

from collections import deque
from dataclasses import dataclass, field

from recbench.cluster.load import ClusterLoad
from recbench.cluster.scaling import ClusterState, DueWork, Hour, ScalingPolicy

__all__ = ["ByDeadline"]


@dataclass(slots=True)
class ByDeadline:
    """Asked at each look with a ``ClusterLoad``; answers with the workers wanted.

    A scheduler says how much work there is, not since when. So what came is taken to be done in
    its order, by the workers that were busy: what came between two looks is one piece of work, due
    ``policy.deadline_s`` after it was first seen.
    """

    policy: ScalingPolicy
    startup_s: float = 57.0  # from asking for a worker to its first task, measured
    hours: tuple[Hour, ...] = ()  # of prices and carbon, where they are known
    _last: ClusterLoad | None = None
    _asked: tuple[float, int] = (0.0, 0)  # when more workers were last asked for, and how many
    _pieces: deque[tuple[float, float]] = field(default_factory=deque)  # when due, work left
    _idle_since: list[float] = field(default_factory=list)

    def __call__(self, load: ClusterLoad) -> int:
        """Workers wanted now, of which those that are busy stay."""
        n_busy = max(load.n_pinned, min(load.n_workers, load.n_running))
        self._note_work(load)
        self._note_idle(load, load.n_workers - n_busy)
        self._last = load
        target = self.policy.target(self._state(load, n_busy))
        if target > load.n_workers and target != self._asked[1]:
            self._asked = (load.at_s, target)
        return target

    def _state(self, load: ClusterLoad, n_busy: int) -> ClusterState:
        asked_s, asked = self._asked
        is_recent = load.at_s - asked_s < 2 * self.startup_s
        n_tasks = max(1, load.n_waiting + load.n_running)
        return ClusterState(
            n_ready=load.n_workers,
            n_starting=max(0, asked - load.n_workers) if is_recent else 0,
            n_busy=n_busy,
            idle_s=tuple(load.at_s - since_s for since_s in self._idle_since),
            work=tuple(DueWork(work_s, due - load.at_s, n_tasks) for due, work_s in self._pieces),
            startup_s=self.startup_s,
            hours=self.hours,
        )

    def _note_work(self, load: ClusterLoad) -> None:
        """What was there before is worked off from the front; what is more than that is new."""
        if self._last is not None:
            gone_s = load.at_s - self._last.at_s
            done_s = gone_s * min(self._last.n_workers, self._last.n_running)
            while self._pieces and done_s > 0:
                due, left_s = self._pieces.popleft()
                if left_s > done_s:
                    self._pieces.appendleft((due, left_s - done_s))
                done_s -= left_s
        known_s = sum(left_s for _, left_s in self._pieces)
        while self._pieces and known_s > load.work_s:  # less is left than was thought
            due, left_s = self._pieces.popleft()
            if known_s - left_s < load.work_s:
                self._pieces.appendleft((due, left_s - (known_s - load.work_s)))
                known_s = load.work_s
            else:
                known_s -= left_s
        if load.work_s > known_s:
            self._pieces.append((load.at_s + self.policy.deadline_s, load.work_s - known_s))

    def _note_idle(self, load: ClusterLoad, n_idle: int) -> None:
        """Who became idle last is taken to work first, so the others have been idle longest."""
        del self._idle_since[n_idle:]
        self._idle_since += [load.at_s] * (n_idle - len(self._idle_since))
