"""What a scaling policy is told by a live cluster, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ClusterLoad", "Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLoad:
    """What a scheduler knows of its load at one moment, as plain data."""

    at_s: float  # seconds since the epoch
    n_workers: int
    n_pinned: int  # workers that run a rank or a notebook: they are not taken
    n_waiting: int  # tasks that could run but for a free worker
    n_running: int  # tasks that workers hold
    work_s: float  # expected seconds of one thread for both
    dask_target: int  # workers by Dask's own rule


Policy = Callable[[ClusterLoad], int]
