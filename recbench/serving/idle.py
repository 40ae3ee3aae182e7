"""Work beside the requests: in a fresh thread that gets only the time that nobody else wants."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from recbench.serving.cores import anywhere

__all__ = ["in_idle_thread", "in_thread", "lower_helpers", "lower_process", "made_politely"]

logger = logging.getLogger(__name__)

Made = TypeVar("Made")
POLITE = 10  # nice value: a tenth of the weight of a request's thread
HELPERS = ("polars", "async-executor", "tokio-rt")  # threads that Polars started


def in_idle_thread(work: Callable[[], None], *, name: str) -> "asyncio.Future[None]":
    """A future of the running loop that ends with ``work``, done when nothing else wants to run.

    The thread is a new one each time: a low priority sticks to a thread, and to those it starts.
    """

    def run() -> None:
        _lower(0)
        work()

    return in_thread(run, name=name)


def in_thread(work: Callable[[], None], *, name: str) -> "asyncio.Future[None]":
    """A future of the running loop that ends with ``work``, done in a new thread."""
    done: Future[None] = Future()

    done.set_running_or_notify_cancel()  # from here on nobody can cancel it, only stop waiting

    def run() -> None:
        try:
            anywhere()
            work()
        except BaseException as error:  # noqa: BLE001  # handed on to whoever waits
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(done)


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
            _lower(int(task.name))


def lower_process() -> None:
    """Give the calling thread, and all that it will start, the idle priority for good.

    And the lowest nice value: by it the system accounts for such work, and `Cores` sees it.
    """
    _lower(0)
    os.nice(19)


def _lower(thread: int) -> None:
    """Give a thread the idle priority, where the system has one; 0 is the calling one."""
    try:
        # a nice value would not do: it counts only among the processes of one session
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        logger.info("No idle priority here, loading runs as any other work: %s", error)
