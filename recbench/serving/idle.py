"""Work beside the requests, in threads of its own.

None of them that takes Python's lock has idle priority: it might hold the lock and not get on.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from recbench.priority import HELPING, be_urgent, lower_thread
from recbench.serving.cores import anywhere

__all__ = ["in_thread", "lower_helpers", "made_politely"]

Made = TypeVar("Made")
POLITE = 10  # nice value: a tenth of the weight of a request's thread
HELPERS = ("polars", "async-executor", "tokio-rt")  # threads that Polars started


def in_thread(
    work: Callable[[], None], *, name: str, is_urgent: bool = False
) -> "asyncio.Future[None]":
    """A future of the running loop that ends with ``work``, done in a new thread.

    Args:
        work: what is done.
        name: of the thread.
        is_urgent: whether the loop runs at real-time priority: whatever holds Python's lock, for
            which the loop waits, may then not wait for ordinary work.
    """
    done: Future[None] = Future()

    done.set_running_or_notify_cancel()  # from here on nobody can cancel it, only stop waiting

    def run() -> None:
        try:
            anywhere()
            if is_urgent:
                be_urgent(HELPING)
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
            lower_thread(int(task.name))
