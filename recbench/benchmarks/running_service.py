"""`recbench serve` in a process of its own, as long as it is needed."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from recbench.errors import JobError
from recbench.loopback import LOOPBACK, free_port
from recbench.serving import standby
from recbench.serving.load import Target

__all__ = ["RunningService"]

START_S, STOP_S = 120.0, 15.0
LOG = "service.log"
# Ends with the process that started it, even if that is killed.
ALONE = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit(1)
"""
SERVE = """
from recbench.cli import main
main(["serve", "--port", *sys.argv[1:]])
"""


@dataclass(frozen=True, slots=True, eq=False)
class RunningService:
    """A service that answers on loopback; a context that stops it."""

    target: Target
    process: "subprocess.Popen[bytes]"
    cold_start_s: float  # from starting the process until it said that it is ready

    @classmethod
    def start(cls, workspace: Path, *, workers: int = 2, options: Sequence[str] = ()) -> Self:
        """Serve the workspace's current release on a free port, and wait until it is ready.

        Args:
            workspace: holds ``registry/``; the service's log is written to it.
            workers: processes that answer.
            options: further ones of ``recbench serve``.

        Raises:
            JobError: it ends, or is not ready within two minutes; the message has its last words.
        """
        return cls.launch(SERVE, ["--workers", str(workers), *options], workspace=workspace)

    @classmethod
    def launch(cls, code: str, arguments: Sequence[str], *, workspace: Path) -> Self:
        """Any server of ``GET /health/ready``, on a free port.

        Args:
            code: Python; its ``sys.argv[1:]`` are the port and ``arguments``, ``sys`` is imported.
            arguments: after the port.
            workspace: which it finds as ``workspace_path()``; its log is written there.

        Raises:
            JobError: as ``start``.
        """
        port = free_port()
        began = time.perf_counter()
        with (workspace / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", ALONE + code, str(os.getpid()), str(port), *arguments],
                env=os.environ | {"RECBENCH_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        service = cls(Target(port=port), process, 0.0)
        try:
            service._await(began, workspace / LOG)
        except BaseException:  # Ctrl-C, too: nobody else knows of it yet
            service.stop()
            raise
        return cls(Target(port=port), process, time.perf_counter() - began)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and wait; what does not end in time is killed, workers included."""
        family = self._family()
        self.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=STOP_S)
        for process in alive:
            process.kill()
        self.process.wait()

    def memory_bytes(self) -> int:
        """Of all its processes, shared pages counted once (PSS)."""
        return int(self._total(lambda process: process.memory_full_info().pss))

    def own_memory_bytes(self) -> int:
        """Of its processes that answer, without the pages of files: what a leak adds to.

        A page of a library counts the more in ``memory_bytes`` the fewer other programs use it;
        what lays out releases imports in idle time, of which there may be little for minutes.
        """
        return int(self._total(lambda process: _own_bytes(process) if _answers(process) else 0))

    def cpu_s(self) -> float:
        """User and system time of all its processes so far."""
        return self._total(lambda process: sum(process.cpu_times()[:2]))

    def is_ready(self) -> bool:
        """Whether ``GET /health/ready`` says 200."""
        connection = http.client.HTTPConnection(LOOPBACK, self.target.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _await(self, began: float, log: Path) -> None:
        while not self.is_ready():
            if self.process.poll() is not None or time.perf_counter() - began > START_S:
                tail = log.read_text(encoding="utf-8", errors="replace")[-1_000:].strip()
                raise JobError(f"The service does not start; {log} ends with: {tail or 'nothing'}")
            time.sleep(0.02)

    def _total(self, of: Callable[[psutil.Process], float]) -> float:
        total = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):  # a worker that has just been replaced
                total += of(process)
        return total

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _answers(process: psutil.Process) -> bool:
    return standby.__name__ not in process.cmdline()


def _own_bytes(process: psutil.Process) -> int:
    """Anonymous and shared memory, in the machine's and swapped out; a shared page counts once."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(process.pid) from error
    kilobytes = dict(line.split()[:2] for line in rollup.splitlines()[1:])
    return 1024 * sum(int(kilobytes[name]) for name in ("Pss_Anon:", "Pss_Shmem:", "SwapPss:"))
