"""The cluster that a notebook's job runs on, without a parameter."""

import os
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["CLUSTER_VARIABLE", "current_client"]

CLUSTER_VARIABLE = "RECBENCH_CLUSTER"  # the scheduler's address, as workers know it


def current_client() -> "Client | None":
    """The client of the cluster that ``recbench run --on`` gave this notebook; None without one.

    It is connected once and lives as long as the kernel. Functions that take a ``client`` of None
    work on this process alone, so a notebook hands it on and runs anywhere. What it sends is
    charged to the run.
    """
    address = os.environ.get(CLUSTER_VARIABLE)
    return _client_of(address) if address else None


@lru_cache
def _client_of(address: str) -> "Client":
    from recbench.cluster.run_client import RunClient

    return RunClient(address)
