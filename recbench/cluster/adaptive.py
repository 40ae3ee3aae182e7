"""One scaling policy inside the scheduler, whoever asks it: Dask's adaptive or the operator.

``LocalCluster.adapt`` asks the scheduler's handler ``adaptive_target`` through its connection; the
Kubernetes operator polls ``/api/v1/adaptive_target``, which calls the method of that name. Both are
replaced here, so both get the policy's answer. Workers to be closed are chosen by the scheduler in
both cases, which withholds those that run a rank or a notebook.
"""

import time
from typing import Any

from distributed import SchedulerPlugin

from recbench.cluster.load import PINNING_PREFIXES, Hours, LoadWatch, Policy

__all__ = ["ScalingPlugin"]


class ScalingPlugin(SchedulerPlugin):
    """Withholds pinned workers from scaling down, and answers for the number wanted.

    Args:
        policy: workers wanted for a state, such as ``ScalingPolicy(...).target``. None leaves the
            answer to Dask's own rule.
        deadline_s: of work, from when it came.
        hours: price, carbon and power, now and forecast, such as ``TariffFile(path)``, which is
            read where the scheduler runs. None: all hours are alike.
    """

    name = "recbench-scaling"

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        deadline_s: float = 900.0,
        hours: Hours | None = None,
    ) -> None:
        self._policy = policy
        told = {} if hours is None else {"hours": hours}
        self._watch = LoadWatch(deadline_s=deadline_s, **told)

    async def start(self, scheduler: Any) -> None:
        """Take the place of the scheduler's own answer."""
        if (policy := self._policy) is None:
            return

        def adaptive_target(target_duration: Any = None) -> int:
            now = time.monotonic()
            wanted = int(policy(self._watch.state(scheduler, now=now)))
            self._watch.asked_for(wanted, now=now)
            return wanted

        scheduler.adaptive_target = adaptive_target
        scheduler.handlers["adaptive_target"] = adaptive_target

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Measure how long workers take to start."""
        self._watch.arrived(n_workers=len(scheduler.workers), now=time.monotonic())

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:
        """Those of the workers that run neither a rank nor a notebook."""
        return [worker for worker in workers if not _is_pinned(worker)]


def _is_pinned(worker: Any) -> bool:
    return any(str(task.key).startswith(PINNING_PREFIXES) for task in worker.processing)
