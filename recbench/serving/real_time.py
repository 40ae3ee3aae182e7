"""Real-time priority for the thread that answers, as long as others get their time, too.

At ordinary priority a worker that has had its slice waits a whole tick, 4 ms on usual kernels, for
whatever else wants to run, idle work included. Real-time priority ends that, and would let a worker
without a pause starve everything else on its core: the broker, the store, its own helpers.
"""

import time

from recbench.priority import be_ordinary, be_urgent

__all__ = ["RealTime"]

# Of a core. How long a thread waits is not looked at: an ordinary one waits for others, and would
# look busy for as long as they are, although it might rest.
BUSY_FRAC, CALM_FRAC = 0.8, 0.75
BUSY_LOOKS = 5  # in a row, before the priority is given back
LEAST_LOOKS = 10  # at ordinary priority; it is taken at the first calm one then


class RealTime:
    """Gives the calling thread real-time priority, but while it hardly rests."""

    def __init__(self) -> None:
        self.is_on = False
        self._n_busy = 0  # looks in a row
        self._n_ordinary = LEAST_LOOKS  # looks since the priority was given back
        self._before = self._now()

    def look(self) -> None:
        """See how busy this thread was since the last look; for itself, now and then.

        Raises:
            OSError: it is not allowed to change its priority.
        """
        (at, ran), self._before = self._before, self._now()
        busy_frac = (self._before[1] - ran) / (self._before[0] - at)
        self._n_busy = self._n_busy + 1 if busy_frac > BUSY_FRAC else 0
        self._n_ordinary += 1
        if self.is_on and self._n_busy >= BUSY_LOOKS:
            be_ordinary()
            self.is_on, self._n_ordinary = False, 0
        elif not self.is_on and busy_frac < CALM_FRAC and self._n_ordinary >= LEAST_LOOKS:
            be_urgent()
            self.is_on = True

    def _now(self) -> tuple[int, int]:
        return time.perf_counter_ns(), time.thread_time_ns()
