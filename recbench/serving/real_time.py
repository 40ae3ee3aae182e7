"""Real-time priority for the thread that answers, as long as others get their time, too.

At ordinary priority a worker that has had its slice waits a whole tick, 4 ms on usual kernels, for
whatever else wants to run, idle work included. Real-time priority ends that, and would let a worker
without a pause starve everything else on its core: the broker, the store, its own helpers.
"""

import time
from pathlib import Path

from recbench.errors import InputError
from recbench.priority import be_ordinary, be_urgent, require_urgency

__all__ = ["RealTime", "require_real_time"]

BUSY_FRAC = 0.92  # of the time in which the thread runs, or waits to; saturated: .94 to 1
BUSY_LOOKS, CALM_LOOKS = 5, 10  # in a row, before the priority changes
# At ordinary priority the thread waits for others, too, and looks busy though it might rest: it is
# tried again after so many looks, twice as many each time that it did not last.
FIRST_TRIAL, LAST_TRIAL, LASTED = 20, 320, 100
SCHEDSTAT = Path("/proc/thread-self/schedstat")  # nanoseconds of running, and of waiting to


class RealTime:
    """Gives the calling thread real-time priority, and takes it while the thread never rests."""

    def __init__(self) -> None:
        self.is_on = False
        self._n_looks = CALM_LOOKS - 1  # in a row that speak for a change
        self._n_since = 0  # looks since the last change
        self._trial = FIRST_TRIAL
        self._before = self._now()

    def look(self) -> None:
        """See how busy this thread was since the last look; for itself, now and then.

        Raises:
            OSError: it is not allowed to change its priority.
        """
        (at, wanted), self._before = self._before, self._now()
        is_busy = self._before[1] - wanted > BUSY_FRAC * (self._before[0] - at)
        self._n_looks = self._n_looks + 1 if is_busy == self.is_on else 0
        self._n_since += 1
        if self.is_on and self._n_looks >= BUSY_LOOKS:
            be_ordinary()
            lasted = self._n_since >= LASTED
            self._trial = FIRST_TRIAL if lasted else min(2 * self._trial, LAST_TRIAL)
            self._changed(to=False)
        elif not self.is_on and (self._n_looks >= CALM_LOOKS or self._n_since >= self._trial):
            be_urgent()
            self._changed(to=True)

    def _changed(self, *, to: bool) -> None:
        self.is_on, self._n_looks, self._n_since = to, 0, 0

    def _now(self) -> tuple[int, int]:
        ran, waited, *_ = SCHEDSTAT.read_text(encoding="ascii").split()
        return time.perf_counter_ns(), int(ran) + int(waited)


def require_real_time() -> None:
    """Find out whether a ``RealTime`` can do its work here.

    Raises:
        InputError: no leave for a real-time priority, or a system that does not tell how long a
            thread waits.
    """
    require_urgency()
    if not SCHEDSTAT.exists():
        raise InputError(
            f"This system has no {SCHEDSTAT}, so a worker cannot see when it starves others: leave "
            "--real-time away"
        )
