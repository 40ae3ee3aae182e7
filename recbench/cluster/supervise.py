"""The Dask task of a rank: has it forked, and watches it until it ends or is no longer wanted."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import ceil
from typing import Any

import psutil
from distributed.worker import Worker, get_worker, thread_state  # type: ignore[attr-defined]  # it is there

from recbench.cluster import frames
from recbench.cluster.charging import charge_rank
from recbench.cluster.orders import RankEnd, RankOrders
from recbench.cluster.warm import fork_socket

__all__ = ["supervise"]

LOOK_EVERY_S = 0.05  # whether it is still wanted; what the rank says is heard at once
WEIGH_EVERY_S = 0.2


def supervise(orders: RankOrders) -> RankEnd:
    """Run one rank beside this worker; the worker itself imports no torch and trains nothing.

    Cancelling the task kills the rank, and so does whatever ends the worker. A rank that holds
    more memory than its worker may is killed, too: Dask looks at the worker's own process only.
    """
    worker, key = get_worker(), thread_state.key
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(fork_socket()))
            frames.send(link, replace(orders, n_threads=worker.state.nthreads))
            _, process = frames.receive(link)
        except (OSError, EOFError) as error:
            return RankEnd(kind="died", said=f"its worker's fork server does not answer: {error}")
        rank = _found(process)
        with _charged(rank, worker, key) as charge:
            return _watched(link, rank, worker, key, charge)


def _found(number: int) -> psutil.Process | None:
    """A rank; None if it has ended meanwhile, as on a busy machine: its link says how."""
    try:
        return psutil.Process(number)
    except psutil.NoSuchProcess:
        return None


def _watched(
    link: socket.socket,
    process: psutil.Process | None,
    worker: Worker,
    key: Any,
    charge: Callable[[], None],
) -> RankEnd:
    limit = worker.memory_manager.memory_limit
    weigh_at = 0.0
    end: RankEnd | None = None
    while True:
        readable, _, _ = select.select([link], [], [], LOOK_EVERY_S)
        if readable:
            try:
                message = frames.receive(link)
            except EOFError:
                return end or RankEnd(kind="died", said="its worker's fork server is gone")
            if message[0] == "exit":
                return end or _ended(message[1])
            charge()  # it has done its work, and is there until it ends
            end = message[1]
        elif _is_cancelled(worker, key):
            return RankEnd(kind="cancelled")
        elif time.monotonic() > weigh_at:
            weigh_at = time.monotonic() + WEIGH_EVERY_S
            charge()
            held = _memory_bytes(process)
            if limit and held > limit:
                said = f"it held {ceil(held / 2**20)} MiB of {limit >> 20} MiB"
                return RankEnd(kind="memory", said=said)


@contextmanager
def _charged(
    process: psutil.Process | None, worker: Worker, key: Any
) -> Iterator[Callable[[], None]]:
    """Charges what the rank has used since the last call, and once more before it is let go."""
    told_s = 0.0

    def charge() -> None:
        nonlocal told_s
        if process is None:
            return
        with suppress(psutil.NoSuchProcess):
            used_s = float(sum(process.cpu_times()[:4]))  # its own and of its ended children
            charge_rank(worker, key, used_s - told_s)
            told_s = used_s

    try:
        yield charge
    finally:
        charge()


def _ended(status: int) -> RankEnd:
    if status < 0:
        return RankEnd(kind="died", said=f"it was killed by signal {-status}")
    return RankEnd(kind="died", said=f"it ended with status {status}")


def _is_cancelled(worker: Worker, key: Any) -> bool:
    """Dask does not interrupt a running task; its state says that nobody wants it any more."""
    task = worker.state.tasks.get(key)
    return task is None or task.state in ("cancelled", "released", "forgotten", "resumed")


def _memory_bytes(process: psutil.Process | None) -> int:
    try:
        return int(process.memory_info().rss) if process else 0
    except psutil.NoSuchProcess:
        return 0
