"""How the system shares its processors between what answers now and what has time.

Work that has time runs at idle priority. But Linux weighs each session as a whole (its autogroup),
and in that balance a thread's idle priority counts for nothing: work in a session of its own, as
every notebook's kernel and every scheduled job has one, gets as much as a service in another. So
the session's weight is lowered, too.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recbench.errors import InputError

__all__ = [
    "ASKING",
    "HELPING",
    "KEEPING",
    "be_ordinary",
    "be_urgent",
    "lower_own_session",
    "lower_process",
    "lower_thread",
    "require_urgency",
    "urgent",
]

logger = logging.getLogger(__name__)

LOWEST = 19  # nice value
# Real-time priorities, above all ordinary work and below the system's own. Who measures a service
# on the same machine goes before what answers: its own waits would be taken for the service's. And
# so does who hands connections to it: they would wait for as long as others are answered.
ASKING, KEEPING, ANSWERING, HELPING = 3, 3, 2, 1
AUTOGROUP = Path("/proc/self/autogroup")  # sched(7)


def lower_process() -> None:
    """Give the calling thread, and all that it will start, the idle priority for good.

    And the lowest nice value: by it the system accounts for such work. A session that this process
    leads is lowered as a whole; another one is its terminal's.
    """
    lower_thread()
    os.nice(LOWEST)
    lower_own_session()


def lower_thread(thread: int = 0) -> None:
    """Give a thread the idle priority, where the system has one; 0 is the calling one."""
    try:
        # a nice value would not do: it counts only among the processes of one session
        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError) as error:
        logger.info("No idle priority here, such work runs as any other: %s", error)


def lower_own_session() -> None:
    """Let a session count as little as the idle process that leads it; else nothing changes.

    For processes that begin a session and may have inherited the idle priority.
    """
    if not hasattr(os, "SCHED_IDLE") or os.sched_getscheduler(0) != os.SCHED_IDLE:
        return
    if os.getsid(0) != os.getpid():
        return
    for _ in range(10):
        try:
            AUTOGROUP.write_text(str(LOWEST), encoding="ascii")
            return
        except BlockingIOError:  # one change in a tenth of a second for all who are not root
            time.sleep(0.1)
        except OSError:  # a system without, where sessions are not weighed
            return
    logger.info("The session keeps its weight: others change theirs again and again")


def be_urgent(priority: int = ANSWERING) -> None:
    """Put the calling thread, and nothing that it will start, before all ordinary work.

    Args:
        priority: ``ANSWERING``; ``HELPING`` for what such threads may have to wait for; ``KEEPING``
            for who keeps them going, ``ASKING`` for who measures.

    Raises:
        OSError: it is not allowed to, or the system has no such priority.
    """
    try:
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except AttributeError as error:
        raise OSError("this system has no real-time priorities") from error


def be_ordinary() -> None:
    """Take ``be_urgent`` back."""
    # the flag stays: only the privileged may clear it
    os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))


@contextmanager
def urgent(priority: int = ANSWERING) -> Iterator[None]:
    """The calling thread goes before all ordinary work, as long as the block runs.

    Args:
        priority: as of ``be_urgent``.

    Raises:
        InputError: it is not allowed to, or the system has no such priority.
    """
    try:
        be_urgent(priority)
    except OSError as error:
        raise InputError(
            f"No real-time priority here: {error}. Leave --real-time away, or allow it: "
            f"`ulimit -r {priority}`, LimitRTPRIO={priority} of a systemd unit, "
            f"`docker run --ulimit rtprio={priority}`, or the capability SYS_NICE"
        ) from error
    try:
        yield
    finally:
        be_ordinary()


def require_urgency(priority: int = ANSWERING) -> None:
    """Find out whether a thread of this process could be ``urgent``; changes nothing.

    Args:
        priority: as of ``urgent``.

    Raises:
        InputError: as ``urgent``.
    """
    refused: list[InputError] = []

    def find_out() -> None:
        try:
            with urgent(priority):
                pass
        except InputError as error:
            refused.append(error)

    # in one that ends: it cannot always be made as it was
    thread = threading.Thread(target=find_out)
    thread.start()
    thread.join()
    if refused:
        raise refused[0]
