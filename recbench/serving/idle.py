"""Work beside the requests: in a fresh thread that gets only the time that nobody else wants."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future

__all__ = ["in_idle_thread", "lowered"]

logger = logging.getLogger(__name__)


def in_idle_thread(work: Callable[[], None], *, name: str) -> "asyncio.Future[None]":
    """A future of the running loop that ends with ``work``.

    The thread is a new one each time: a low priority sticks to a thread, and to those it starts.
    """
    done: Future[None] = Future()

    def run() -> None:
        lowered()
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # handed on to whoever waits
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(done)


def lowered() -> None:
    """Give the calling thread the idle priority, where the system has one."""
    try:
        # a nice value would not do: it counts only among the processes of one session
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        logger.info("No idle priority here, loading runs as any other work: %s", error)
