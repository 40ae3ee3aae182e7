"""A preload of local workers: Ctrl-C is for the process that opened the cluster.

A terminal sends it to all of them. Whoever opened the cluster ends its workers in order, and a
worker that dies first would take a notebook along that is about to be cancelled.
"""

import signal
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(_worker: Any) -> None:
    """Called by Dask in the worker's main thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
