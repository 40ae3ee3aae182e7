"""What became of work on a cluster, in words that say what to do next."""

import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client
    from distributed.scheduler import KilledWorker

__all__ = ["explained", "memory_endings"]

TOLD_S = 2.0
MEMORY_TOPIC = "worker-restart-memory"  # of the nannies' events


def explained(error: "KilledWorker | CancelledError", client: "Client") -> str:
    """Why a future came to nothing: its workers died (of memory: the figures), or the connection.

    Args:
        error: raised by ``future.result()``.
        client: whose future it was.
    """
    if isinstance(error, CancelledError):
        if getattr(error, "reason", "") == "scheduler-connection-lost":
            return "the connection to the scheduler was lost; whatever ran there was given up"
        return f"it was cancelled: {error}"
    n_workers = error.allowed_failures + 1
    endings = memory_endings(client)
    until = time.monotonic() + TOLD_S
    while 0 < len(endings) < n_workers and time.monotonic() < until:
        time.sleep(0.05)  # a nanny's word of it can come after the failure itself
        endings = memory_endings(client)
    if not endings:
        return (
            f"all {n_workers} workers that tried died, the last one at {error.last_worker.address}"
        )
    held = ", ".join(f"{ending['rss'] / 2**20:.0f}" for ending in endings[-n_workers:])
    limit = error.last_worker.memory_limit / 2**20
    return (
        f"all {n_workers} workers that tried ran out of memory: they held {held} MiB of "
        f"{limit:.0f} MiB each; give workers more memory, or the task less to hold"
    )


def memory_endings(client: "Client") -> list[dict[str, Any]]:
    """``{"worker", "pid", "rss"}`` of each worker ended for its memory (bytes), oldest first."""
    events: Any = client.get_events(MEMORY_TOPIC)
    return [message for _, message in events]
