"""What a live scheduler shows of its load, as the plain data that a scaling policy judges by."""

from collections import deque
from collections.abc import Callable
from typing import Any

from recbench.cluster.scaling import ClusterState, DueWork, Hour

__all__ = ["PINNING_PREFIXES", "RANKS_PREFIX", "Hours", "LoadWatch", "Policy"]

Policy = Callable[[ClusterState], int]  # such as ``ScalingPolicy(...).target``
Hours = Callable[[], tuple[Hour, ...]]  # from now on, such as ``TariffFile(path)``

RANKS_PREFIX = "ddp-"  # of their keys
PINNING_PREFIXES = (RANKS_PREFIX, "job-")  # of ranks and of notebooks
UNFINISHED = ("waiting", "queued", "no-worker", "processing")
FIRST_STARTUP_S = 10.0  # from asking for a worker to its arrival, before any was measured
LATEST_WEIGHT = 0.3  # of the latest start among all that were measured
ARRIVING_S = 900.0  # over which what arrives is measured, as in the simulator


def _all_alike() -> tuple[Hour, ...]:
    return ()


class LoadWatch:
    """Sees a scheduler from inside it, question after question.

    Work is counted by task group (what one ``map`` or ``submit`` sent), as long as such tasks took
    so far, and is due ``deadline_s`` after it was first seen. None of it may wait: what has the
    time for a cheap hour is not sent before.

    Args:
        deadline_s: seconds; the promise to users is 15 minutes.
        hours: price, carbon and power, now and forecast; asked each time.
    """

    def __init__(self, *, deadline_s: float = 900.0, hours: Hours = _all_alike) -> None:
        self._deadline_s = deadline_s
        self._hours = hours
        self._n_seen: dict[str, int] = {}  # tasks of a group, those that are done among them
        self._came: deque[tuple[float, float]] = deque()  # when, and worker-seconds
        self._wanted = 0
        self._growing_since: float | None = None
        self._startup_s = FIRST_STARTUP_S
        self._idle_since: dict[str, float] = {}
        self._work_since: dict[str, float] = {}

    def state(self, scheduler: Any, *, now: float) -> ClusterState:
        """The load at ``now``, in seconds of any clock that only goes forward."""
        workers = scheduler.workers
        idle = [address for address, worker in workers.items() if not worker.processing]
        self._idle_since = {each: self._idle_since.get(each, now) for each in idle}
        return ClusterState(
            n_ready=len(workers),
            n_starting=max(self._wanted - len(workers), 0),
            n_busy=len(workers) - len(idle),
            idle_s=tuple(now - since for since in self._idle_since.values()),
            work=self._work(scheduler, now),
            startup_s=self._startup_s,
            hours=self._hours(),
            arriving=self._arriving(scheduler, now),
        )

    def asked_for(self, n_workers: int, *, now: float) -> None:
        """So many workers were asked for."""
        if n_workers > self._wanted:
            self._growing_since = now
        self._wanted = n_workers

    def arrived(self, *, n_workers: int, now: float) -> None:
        """A worker came, and there are so many now; how long it took is remembered."""
        if self._growing_since is None:
            return
        took_s = now - self._growing_since
        self._startup_s += LATEST_WEIGHT * (took_s - self._startup_s)
        if n_workers >= self._wanted:
            self._growing_since = None  # whoever comes later was not waited for

    def _arriving(self, scheduler: Any, now: float) -> float:
        """Workers that the work of the last minutes keeps busy."""
        groups = scheduler.task_groups
        n_tasks = {name: sum(group.states.values()) for name, group in groups.items()}
        new = {name: n - self._n_seen.get(name, 0) for name, n in n_tasks.items()}
        self._n_seen = n_tasks
        came_s = sum(n * _seconds_each(scheduler, groups[name]) for name, n in new.items() if n > 0)
        self._came.append((now, came_s))
        while self._came[0][0] < now - ARRIVING_S:
            self._came.popleft()
        return sum(work_s for _, work_s in self._came) / ARRIVING_S

    def _work(self, scheduler: Any, now: float) -> tuple[DueWork, ...]:
        counts = {
            name: sum(group.states[state] for state in UNFINISHED)
            for name, group in scheduler.task_groups.items()
        }
        unfinished = {name: n_tasks for name, n_tasks in counts.items() if n_tasks}
        self._work_since = {name: self._work_since.get(name, now) for name in unfinished}
        return tuple(
            DueWork(
                work_s=n_tasks * _seconds_each(scheduler, scheduler.task_groups[name]),
                due_s=self._work_since[name] + self._deadline_s - now,
                n_tasks=n_tasks,
            )
            for name, n_tasks in unfinished.items()
        )


def _seconds_each(scheduler: Any, group: Any) -> float:
    return float(scheduler._get_prefix_duration(group.prefix))
