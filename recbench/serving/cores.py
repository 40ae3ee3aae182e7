"""A processor core for each worker while work of low priority fills the machine.

Such work leaves no core idle, so the system has little reason to part two workers that meet on one.
Requests waited for 30 ms then, beside a release being laid out or a model being trained at idle
priority; half as long with a core for each worker. At other times the system places workers better,
unless they have real-time priority: a worker that gives it back may then stay behind another one
that does not.
"""

import os
from pathlib import Path

__all__ = ["Cores", "anywhere"]

BUSY_FRAC, CALM_FRAC = 0.15, 0.05  # of the machine's time that goes to niced work
CALM_LOOKS = 10
STAT = Path("/proc/stat")  # its first line: "cpu", and ticks of user, niced, ...

_allowed: set[int] = set()  # cores of the process, while a thread of it is bound to one


class Cores:
    """Binds one worker's thread to a core, and lets it go, as the machine demands.

    Nothing is ever bound where there are not as many cores as workers: with more, the system finds
    a free one, and which of them to choose is not ours to know.

    Args:
        number: of the worker, from 0.
        n_workers: of the service.
        always: whether the thread is bound at the first look, and stays so.
    """

    def __init__(self, number: int, *, n_workers: int, always: bool = False) -> None:
        self._own: int | None = None
        if hasattr(os, "sched_setaffinity") and STAT.exists():
            cores = sorted(os.sched_getaffinity(0))
            if len(cores) == n_workers >= 2:
                self._own = cores[number]
        self._always = always
        self._ticks = self._read()
        self._calm = 0
        self.is_bound = False

    def look(self) -> None:
        """See what has gone on since the last look; for the worker's thread, now and then."""
        if self._own is None:
            return
        before, self._ticks = self._ticks, self._read()
        total, niced = (now - then for now, then in zip(self._ticks, before, strict=True))
        if self._always or niced > BUSY_FRAC * total:
            self._calm = 0
            self._bind(self._own)
        elif niced < CALM_FRAC * total:
            self._calm += 1
            if self._calm >= CALM_LOOKS:
                self._release()

    def _bind(self, core: int) -> None:
        if not self.is_bound:
            _allowed.update(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {core})
            self.is_bound = True

    def _release(self) -> None:
        if self.is_bound:
            os.sched_setaffinity(0, _allowed)
            _allowed.clear()
            self.is_bound = False

    def _read(self) -> tuple[int, int]:
        """Ticks of the whole machine, and those of niced work among them."""
        if self._own is None:
            return 0, 0
        with STAT.open() as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
        return sum(ticks), ticks[1]


def anywhere() -> None:
    """Let the calling thread run on every core, although a bound one may have started it."""
    if _allowed:
        os.sched_setaffinity(0, _allowed)
