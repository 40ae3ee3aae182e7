"""A processor core for each worker, where there are just as many.

While work of idle priority runs, no core is ever idle, and Linux moves a waiting thread to a core
that does nothing better only every few ticks: two workers that met on one core had requests waiting
for 30 ms. A worker that stays on a core of its own takes it from such work at once.
"""

import os

__all__ = ["anywhere", "on_a_core_of_its_own"]

_allowed: set[int] = set()  # cores of the process, before a thread of it was bound to one


def on_a_core_of_its_own(number: int, *, n_workers: int) -> bool:
    """Bind the calling thread to one core, if every worker has one and none is left over.

    Threads that it starts are bound with it; see ``anywhere``. Where there are more cores than
    workers, the system finds a free one by itself; and others may share them.

    Args:
        number: of the worker, from 0.
        n_workers: of the service.

    Returns:
        Whether it was bound.
    """
    if not hasattr(os, "sched_setaffinity"):
        return False
    cores = os.sched_getaffinity(0)
    if len(cores) != n_workers or n_workers < 2:
        return False
    _allowed.update(cores)
    os.sched_setaffinity(0, {sorted(cores)[number]})
    return True


def anywhere() -> None:
    """Let the calling thread run on every core again."""
    if _allowed:
        os.sched_setaffinity(0, _allowed)
