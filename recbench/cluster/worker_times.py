"""How long a cluster's workers lived and computed, those that have gone among them."""

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from distributed import SchedulerPlugin, Worker, WorkerPlugin

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["GoneWorkers", "KeepGone", "gone_workers", "keep_gone", "lived"]

TOPIC = "recbench-gone-workers"
METRIC = "recbench_lived"  # in what a worker tells the scheduler twice a second or so


class GoneWorkers(NamedTuple):
    """All that have gone since somebody began to keep account."""

    n_workers: int = 0
    alive_s: float = 0.0
    thread_s: float = 0.0  # of each of a worker's threads
    cpu_s: float = 0.0


def lived() -> tuple[float, float]:
    """Seconds that this process has lived, and CPU seconds it has used; asked on each worker."""
    process = psutil.Process()
    used = process.cpu_times()
    return time.time() - process.create_time(), used.user + used.system


class KeepGone(SchedulerPlugin):
    """Adds up the workers that go, by what they told last, in the scheduler's events."""

    name = "recbench-gone-workers"
    idempotent = True

    def __init__(self) -> None:
        self._states: dict[str, Any] = {}
        self._gone = GoneWorkers()

    async def start(self, scheduler: Any) -> None:
        """Begin with the workers that are there."""
        self._states = dict(scheduler.workers)

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Its state outlives it."""
        self._states[worker] = scheduler.workers[worker]

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """Whether it was closed, lost or killed."""
        state = self._states.pop(worker, None)
        if state is None:
            return
        alive_s, cpu_s = state.metrics.get(METRIC, (0.0, 0.0))
        alive_s += max(0.0, time.time() - state.last_seen) if alive_s else 0.0
        self._gone = GoneWorkers(
            self._gone.n_workers + 1,
            self._gone.alive_s + alive_s,
            self._gone.thread_s + alive_s * state.nthreads,
            self._gone.cpu_s + cpu_s,
        )
        scheduler.log_event(TOPIC, self._gone._asdict())


class _TellLived(WorkerPlugin):
    """Adds the process's times to what a worker tells its scheduler."""

    name = "recbench-lived"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        worker.metrics[METRIC] = lambda _: lived()


def keep_gone(client: "Client") -> None:
    """Keep account of a cluster's workers from now on; once more changes nothing."""
    client.register_plugin(KeepGone())
    client.register_plugin(_TellLived())


def gone_workers(client: "Client") -> GoneWorkers:
    """Those that have gone since ``keep_gone``."""
    events: Any = client.get_events(TOPIC)
    return GoneWorkers(**events[-1][1]) if events else GoneWorkers()
