"""What a Dask task does for a notebook: start its process, pass on what it says, end it in time."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from recbench.jobs.request import CANCELLED, LEASE_S, WANTED, Request

__all__ = ["supervise"]

POLL_S = 0.05
END_S = 20.0  # that an attempt may take to end its kernel and write its manifest
USABLE_FRAC = 0.95  # of a worker's memory; Dask ends a worker that holds more
COMMAND = (sys.executable, "-m", "recbench.jobs.attempt")


def supervise(request: Request) -> dict[str, Any]:
    """How the attempt ended: ``{"status", "error"}``, and ``errno``, ``filename`` of an OSError.

    Runs as a task on a worker. Leaves the worker's thread free for other tasks, since a notebook
    may itself ask the cluster for work. Every message goes to the topic of the task's key.
    """
    from distributed import get_worker, secede

    worker = get_worker()
    key = worker.get_current_task()
    worker.log_event(str(key), {"attempt": worker.address})
    secede()  # type: ignore[no-untyped-call]  # Dask's
    if not (Path(request.folder) / "manifest.json").exists():
        return _unseen(request)
    limited = replace(request, memory_limit_bytes=_left_to_kernel(worker))
    return _Attempt(worker, str(key)).run(limited)


def _left_to_kernel(worker: Any) -> int | None:
    """Bytes: what the worker may hold, less what it holds itself and a reserve."""
    limit: int | None = worker.memory_manager.memory_limit
    return None if limit is None else int(USABLE_FRAC * limit) - _held_here()


def _held_here() -> int:
    return int(psutil.Process().memory_info().rss)


def _unseen(request: Request) -> dict[str, Any]:
    reason = (
        f"{socket.gethostname()} does not see this folder: runs and workspace must lie on a disk "
        "that all workers share (RECBENCH_RUNS, RECBENCH_WORKSPACE)"
    )
    return {"status": "failed", "error": reason}


class _Attempt:
    """The process of one attempt, from its start to its end."""

    def __init__(self, worker: Any, key: str) -> None:
        self._worker = worker
        self._key = key
        self._ended: dict[str, Any] | None = None

    def run(self, request: Request) -> dict[str, Any]:
        here = Path(request.working_directory)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=here if here.is_dir() else None,
                env=os.environ | request.environment,
                start_new_session=True,  # Ctrl-C is for whoever asked for the run
            )
            reader = threading.Thread(target=self._pass_on, args=(process,), daemon=True)
            reader.start()
            try:
                self._write(process, json.dumps(asdict(request)).encode() + b"\n")
                self._watch(process)
            finally:
                process.kill()
                process.wait()
            reader.join()
            if self._ended is None:
                errors.seek(0)
                self._ended = _silent_end(process.returncode, errors.read())
        return self._ended

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Returns when the process has ended; ends it once nobody wants it any more."""
        told, ends_at = time.monotonic(), None
        while process.poll() is None and (ends_at is None or time.monotonic() < ends_at):
            if ends_at is None and (word := self._unwanted()) is not None:
                self._write(process, word)
                process.stdin.close()  # type: ignore[union-attr]  # a pipe
                ends_at = time.monotonic() + END_S
            elif ends_at is None and time.monotonic() - told > LEASE_S / 10:
                self._write(process, WANTED)
                told = time.monotonic()
            time.sleep(POLL_S)

    def _unwanted(self) -> bytes | None:
        """The last word to an attempt that is cancelled, or whose worker closes."""
        if self._worker.status.name not in {"running", "paused"}:
            return b""
        task = self._worker.state.tasks.get(self._key)
        return CANCELLED if task is None or task.state == "cancelled" else None

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stdout:  # type: ignore[union-attr]  # a pipe
            message = json.loads(line)
            if "ended" in message:
                self._ended = message["ended"]
            else:
                self._worker.log_event(self._key, message)

    def _write(self, process: subprocess.Popen[bytes], data: bytes) -> None:
        with suppress(BrokenPipeError):  # it has ended; the loop will see that
            process.stdin.write(data)  # type: ignore[union-attr]  # a pipe
            process.stdin.flush()  # type: ignore[union-attr]


def _silent_end(code: int, errors: bytes) -> dict[str, Any]:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = errors.decode(errors="replace").strip().splitlines()[-1:] or [""]
    return {"status": "killed", "error": f"the job's process ended with {how}. {last[0]}".strip()}
