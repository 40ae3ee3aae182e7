"""Real-time priority for the thread that answers, as long as others get their time, too.

At ordinary priority a worker that has had its slice waits a whole tick, 4 ms on usual kernels, for
whatever else wants to run, idle work included. Real-time priority ends that, and would let a worker
without a pause starve everything else on its core: the broker, the store, its own helper. Linux
ends that by force, and stops all such threads of a core for 50 ms once they took 950 of a second's.
So a busy worker takes breaths, and one that never rests gives the priority back for a while.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from recbench.errors import InputError
from recbench.priority import KEEPING, be_ordinary, be_urgent, require_urgency

__all__ = ["RealTime", "require_real_time"]

REST_FRAC = 0.1  # of the time
BREATH_S = 0.01  # at ordinary priority, after a look that found less rest
LEAST_REST_FRAC = 0.05  # others need less than that of each core
BUSY_LOOKS = 5  # in a row with less rest, before the priority is given back
LEAST_LOOKS = 10  # at ordinary priority, before it is taken again
# An ordinary thread waits for others and may never seem to rest: how long it runs counts, too.
RUN_FRAC = 0.75
SCHEDSTAT = Path("/proc/thread-self/schedstat")  # nanoseconds of running, and of waiting to


class _Spent(NamedTuple):
    """Nanoseconds since whenever."""

    elapsed: int
    ran: int
    waited: int

    @classmethod
    def now(cls) -> Self:
        ran, waited, *_ = SCHEDSTAT.read_text(encoding="ascii").split()
        return cls(time.perf_counter_ns(), int(ran), int(waited))


class RealTime:
    """Gives the calling thread real-time priority, but while it hardly rests.

    Args:
        later: calls something after so many seconds, in the same thread.
    """

    def __init__(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._later = later
        self.is_on = False
        self._n_busy = 0  # looks in a row
        self._n_ordinary = LEAST_LOOKS  # looks since the priority was given back
        self._before = _Spent.now()

    def look(self) -> None:
        """See how busy this thread was since the last look; for itself, now and then.

        Raises:
            OSError: it is not allowed to change its priority.
        """
        before, self._before = self._before, _Spent.now()
        elapsed, ran, waited = (now - then for now, then in zip(self._before, before, strict=True))
        ran_frac, rest_frac = ran / elapsed, 1 - (ran + waited) / elapsed
        self._n_busy = self._n_busy + 1 if rest_frac < LEAST_REST_FRAC else 0
        self._n_ordinary += 1
        has_room = rest_frac > REST_FRAC or ran_frac < RUN_FRAC
        if self.is_on and rest_frac < REST_FRAC:
            be_ordinary()
            if self._n_busy < BUSY_LOOKS:
                self._later(BREATH_S, be_urgent)
            else:
                self.is_on, self._n_ordinary = False, 0
        elif not self.is_on and self._n_ordinary >= LEAST_LOOKS and has_room:
            be_urgent()
            self.is_on, self._n_busy = True, 0


def require_real_time() -> None:
    """Find out whether a ``RealTime`` can do its work here.

    Raises:
        InputError: no leave for a real-time priority, or a system that does not tell how long a
            thread waits.
    """
    require_urgency(KEEPING)
    if not SCHEDSTAT.exists():
        raise InputError(
            f"This system has no {SCHEDSTAT}, so a worker cannot see when it starves others: leave "
            "--real-time away"
        )
