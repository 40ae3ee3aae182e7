"""Scaling down takes workers of the default group only."""

import asyncio

from distributed import Scheduler, Worker

from recbench.cluster.kubernetes.worker_groups import dask_setup


async def _asked_to_close(n):
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address=None) as scheduler:
        dask_setup(scheduler)
        names = ("recbench-gpu-worker-1", "recbench-default-worker-1", "recbench-default-worker-2")
        workers = [
            Worker(scheduler.address, name=name, nthreads=1, dashboard_address=None)
            for name in names
        ]
        await asyncio.gather(*workers)
        try:
            return set(scheduler.workers_to_close(n=n, attribute="name"))
        finally:
            await asyncio.gather(*(worker.close() for worker in workers))


def test_workers_of_another_group_are_never_given_away():
    assert asyncio.run(_asked_to_close(3)) == {
        "recbench-default-worker-1",
        "recbench-default-worker-2",
    }
