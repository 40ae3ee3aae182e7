"""One scaling policy inside the scheduler, whoever asks it: Dask's adaptive or the operator.

``LocalCluster.adapt`` asks the scheduler's handler ``adaptive_target`` through its connection; the
Kubernetes operator polls ``/api/v1/adaptive_target``, which calls the method of that name. Both are
replaced here, so both get the policy's answer. Workers to be closed are chosen by the scheduler in
both cases, which withholds those that run a rank or a notebook.
"""

import time
from typing import Any

from distributed import SchedulerPlugin

from recbench.cluster.load import ClusterLoad, Policy

__all__ = ["PINNING_PREFIXES", "ScalingPlugin", "load_of"]

PINNING_PREFIXES = ("ddp-", "job-")  # of the keys of ranks and of notebooks


class ScalingPlugin(SchedulerPlugin):
    """Withholds pinned workers from scaling down, and answers for the number wanted.

    Args:
        policy: workers wanted for a load; None leaves that to Dask's own rule.
    """

    name = "recbench-scaling"

    def __init__(self, policy: Policy | None = None) -> None:
        self._policy = policy

    async def start(self, scheduler: Any) -> None:
        """Take the place of the scheduler's own answer."""
        if self._policy is None:
            return
        policy, dask_target = self._policy, type(scheduler).adaptive_target

        def adaptive_target(target_duration: Any = None) -> int:
            by_dask = dask_target(scheduler, target_duration)
            return max(int(policy(load_of(scheduler, dask_target=by_dask))), 0)

        scheduler.adaptive_target = adaptive_target
        scheduler.handlers["adaptive_target"] = adaptive_target

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:
        """Those of the workers that run neither a rank nor a notebook."""
        return [worker for worker in workers if not _is_pinned(worker)]


def load_of(scheduler: Any, *, dask_target: int) -> ClusterLoad:
    """The load of a Dask scheduler, seen from inside it."""
    workers = scheduler.workers.values()
    waiting = [*scheduler.queued, *scheduler.unrunnable]
    queued_s = sum(scheduler._get_prefix_duration(task.prefix) for task in waiting)
    return ClusterLoad(
        at_s=time.time(),
        n_workers=len(workers),
        n_pinned=sum(_is_pinned(worker) for worker in workers),
        n_waiting=len(waiting),
        n_running=sum(len(worker.processing) for worker in workers),
        work_s=scheduler.total_occupancy + queued_s,
        dask_target=dask_target,
    )


def _is_pinned(worker: Any) -> bool:
    return any(str(task.key).startswith(PINNING_PREFIXES) for task in worker.processing)
