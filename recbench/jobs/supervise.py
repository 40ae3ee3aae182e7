"""What a Dask task does for a notebook: start its process, pass on what it says, end it in time."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from recbench.jobs.request import CANCELLED, Request
from recbench.jobs.watch import watch

__all__ = ["supervise"]

USABLE_FRAC = 0.95  # of a worker's memory; Dask ends a worker that holds more


def supervise(request: Request) -> dict[str, Any]:
    """How the attempt ended: ``{"status", "error"}``, and ``errno``, ``filename`` of an OSError.

    Runs as a task on a worker. Leaves the worker's thread free for other tasks, since a notebook
    may itself ask the cluster for work. Every message goes to the topic of the task's key.
    """
    from distributed import get_worker, secede

    worker = get_worker()
    key = str(worker.get_current_task())
    worker.log_event(key, {"attempt": worker.address})
    secede()  # type: ignore[no-untyped-call]  # Dask's
    if not (Path(request.folder) / "manifest.json").exists():
        return _unseen(request)
    return watch(
        replace(request, memory_limit_bytes=_left_to_kernel(worker)),
        tell=lambda message: worker.log_event(key, message),
        unwanted=lambda: _last_word(worker, key),
    )


def _last_word(worker: Any, key: str) -> bytes | None:
    """To an attempt that is cancelled, or whose worker closes."""
    if worker.status.name not in {"running", "paused"}:
        return b""
    task = worker.state.tasks.get(key)
    return CANCELLED if task is None or task.state == "cancelled" else None


def _left_to_kernel(worker: Any) -> int | None:
    """Bytes: what the worker may hold, less what it holds itself and a reserve."""
    limit: int | None = worker.memory_manager.memory_limit
    return None if limit is None else int(USABLE_FRAC * limit) - _held_here()


def _held_here() -> int:
    return int(psutil.Process().memory_info().rss)


def _unseen(request: Request) -> dict[str, Any]:
    reason = (
        f"{socket.gethostname()} does not see this folder: runs and workspace must lie on a disk "
        "that all workers share (RECBENCH_RUNS, RECBENCH_WORKSPACE)"
    )
    return {"status": "failed", "error": reason}
