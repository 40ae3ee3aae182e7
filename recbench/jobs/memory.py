"""How much memory a process and its children ever held together."""

import threading
from contextlib import suppress
from math import ceil
from types import TracebackType
from typing import Self

import psutil

__all__ = ["PeakMemory"]

PERIOD_S = 0.1
TREE_EVERY = 10  # periods; who belongs to the tree is told by all of the system's processes


class PeakMemory:
    """Samples the resident memory of a process tree while the ``with`` block runs.

    What holds memory for less than a tenth of a second can be missed, and a child that lives
    shorter than a second. A tree that holds more than ``limit_bytes`` is killed; ``exceeded`` then
    says with which figures.
    """

    def __init__(self, *, limit_bytes: int | None = None) -> None:
        self.peak_bytes: int | None = None
        self.exceeded: str | None = None
        self._limit_bytes = limit_bytes
        self._stop = threading.Event()
        self._pid: int | None = None
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)

    def watch(self, pid: int) -> None:
        """Sample this process and what it starts."""
        self._pid = pid

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample_until_stopped(self) -> None:
        known: list[psutil.Process] = []
        n_periods = 0
        while not self._stop.wait(PERIOD_S):
            if self._pid is None:
                continue
            if n_periods % TREE_EVERY == 0:
                known = _tree(self._pid)
            n_periods += 1
            if held := sum(map(_resident_bytes, known)):
                self.peak_bytes = max(self.peak_bytes or 0, held)
                self._kill_above_limit(self._pid, held)

    def _kill_above_limit(self, pid: int, held: int) -> None:
        if self._limit_bytes is None or held <= self._limit_bytes or self.exceeded is not None:
            return
        held_mib, limit_mib = ceil(held / 2**20), self._limit_bytes >> 20  # never the same figure
        self.exceeded = f"held {held_mib} MiB, more than the {limit_mib} MiB it may"
        for process in _tree(pid):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _resident_bytes(process: psutil.Process) -> int:
    """0 once it has gone."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
