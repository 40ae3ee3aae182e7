"""A Dask cluster of processes on this machine."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recbench.cluster.load import Hours, Policy

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["WORKER_TTL", "local_cluster"]

WORKER_TTL = "15s"  # a worker that says nothing for so long is given up; Dask's own: 300 s
CONFIGURATION = {
    "distributed.scheduler.worker-ttl": WORKER_TTL,
    # A busy machine takes longer than Dask's 15 s to start a lost worker again, which then ends it.
    "distributed.deploy.lost-worker-timeout": "60s",
}


@contextmanager
def local_cluster(
    *,
    minimum: int,
    maximum: int,
    policy: Policy | None,
    hours: Hours | None,
    worker_memory_bytes: int | None,
) -> Iterator["Client"]:
    """A client of single-threaded worker processes on the loopback interface, free ports only.

    What does not fit in memory is spilled to a temporary folder. Processes and folder have gone
    when the block is left, by an exception or Ctrl-C, too.
    """
    import dask
    from distributed import Client, LocalCluster

    from recbench.cluster.adaptive import ScalingPlugin
    from recbench.cluster.nanny import PatientNanny
    from recbench.cluster.worker_times import keep_gone

    if policy is None:
        maximum = max(minimum, min(maximum, os.cpu_count() or 1))
    memory = worker_memory_bytes or _share_of_memory(maximum)
    with (
        tempfile.TemporaryDirectory(prefix="recbench-", ignore_cleanup_errors=True) as spilled,
        dask.config.set(CONFIGURATION),
        LocalCluster(  # type: ignore[no-untyped-call]  # Dask's
            n_workers=minimum,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            local_directory=spilled,
            memory_limit=memory,
            worker_class=PatientNanny,
            preload=["recbench.cluster.undisturbed"],
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # Dask's
    ):
        client.register_plugin(ScalingPlugin(policy, hours=hours))
        keep_gone(client)
        cluster.adapt(minimum=minimum, maximum=maximum)  # a lost worker comes back, too
        yield client


def _share_of_memory(n_workers: int) -> int:
    from distributed.system import MEMORY_LIMIT

    return MEMORY_LIMIT // n_workers
