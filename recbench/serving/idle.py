"""Work beside the requests, in a thread of its own.

None of them that takes Python's lock has idle priority: it might hold the lock and not get on.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from recbench.priority import HELPING, be_urgent, lower_thread
from recbench.serving.cores import anywhere

__all__ = ["POLITE", "Helper", "lower_helpers", "made_politely"]

Made = TypeVar("Made")
POLITE = 10  # nice value: a tenth of the weight of a request's thread
HELPERS = ("polars", "async-executor", "tokio-rt")  # threads that Polars started


class Helper:
    """A thread that works beside an event loop, one job after the other.

    It is there from the beginning: whoever starts a thread waits until that one runs, up to 15 ms
    on a busy machine, and requests wait with them.

    Args:
        is_urgent: whether the loop may run at real-time priority. Whatever holds Python's lock, for
            which the loop waits, may then not wait for ordinary work, nor for those who answer on
            another core: it stays on the one where this is called, which the loop leaves to it
            just then.
    """

    def __init__(self, *, is_urgent: bool = False) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = SimpleQueue()
        self._is_urgent = is_urgent
        threading.Thread(target=self._run, name="helper", daemon=True).start()

    def do(self, work: Callable[[], None]) -> "asyncio.Future[None]":
        """A future of the running loop that ends with ``work``."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # from here on nobody can cancel it, only stop waiting
        self._jobs.put((work, done))
        return asyncio.wrap_future(done)

    def close(self) -> None:
        """End after what is still to be done; nobody waits for it."""
        self._jobs.put(None)

    def _run(self) -> None:
        if self._is_urgent:
            be_urgent(HELPING)
        else:
            anywhere()
        while (job := self._jobs.get()) is not None:
            work, done = job
            try:
                work()
            except BaseException as error:  # noqa: BLE001  # handed on to whoever waits
                done.set_exception(error)
            else:
                done.set_result(None)
            del job, work, done  # what they hold may be large


def made_politely(make: Callable[[], Made]) -> Made:
    """What ``make`` gives; the threads that it starts give way to requests, but never starve.

    They inherit a nice value, which counts among the threads of this process.
    """
    with ThreadPoolExecutor(1) as once:
        return once.submit(_politely, make).result()


def _politely(make: Callable[[], Made]) -> Made:
    anywhere()
    with suppress(OSError):  # where a thread has no nice value of its own
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(POLITE, now))
    return make()


def lower_helpers() -> None:
    """Give Polars' own threads, which no request needs, the idle priority for good."""
    for task in Path("/proc/self/task").glob("*"):
        try:
            name = (task / "comm").read_text(encoding="utf-8")
        except OSError:  # it has ended
            continue
        if name.startswith(HELPERS):
            lower_thread(int(task.name))
