"""How much memory a process and its children ever held together."""

import threading
from types import TracebackType
from typing import Self

import psutil

__all__ = ["PeakMemory"]

PERIOD_S = 0.1


class PeakMemory:
    """Samples the resident memory of a process tree while the ``with`` block runs.

    What lives shorter than a tenth of a second can be missed.
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
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
        while not self._stop.wait(PERIOD_S):
            if self._pid is not None and (held := _held_bytes(self._pid)):
                self.peak_bytes = max(self.peak_bytes or 0, held)


def _held_bytes(pid: int) -> int:
    """Resident bytes of the tree; 0 once the process has gone."""
    try:
        parent = psutil.Process(pid)
        tree = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_resident_bytes(process) for process in tree)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
