"""Scaling down takes workers of the default group only.

Dask's operator asks the scheduler for n workers to retire, whatever group is to shrink
(https://github.com/dask/dask-kubernetes/issues/914). Its autoscaler only ever shrinks the default
group, so no other worker may be given to it.
"""

from typing import Any

from distributed import SchedulerPlugin

__all__ = ["OnlyDefaultGroup"]

IN_DEFAULT_GROUP = "-default-worker-"  # in the names that the operator gives to workers


class OnlyDefaultGroup(SchedulerPlugin):
    """Withholds the workers of other groups from being retired."""

    name = "recbench-only-default-group"

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:
        """Those of the workers that the operator has started for the default group."""
        return [worker for worker in workers if IN_DEFAULT_GROUP in str(worker.name)]
