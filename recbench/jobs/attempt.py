"""One attempt of a run, as a process of its own; a worker's task or a notebook watches over it.

Standard input: one line of JSON, the request; then a byte a second for as long as the attempt is
wanted. Its end, or silence, means that whoever watches has gone, and another may take the run up:
this process then ends its kernel and says so in the manifest. Standard output: messages, a line of
JSON each; the last is ``{"ended": ...}``.
"""

import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import nbformat

from recbench.files import one_at_a_time
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import Manifest, Status
from recbench.jobs.prepare import Prepared, begin_again
from recbench.jobs.request import CANCELLED, LEASE_S, Request
from recbench.jobs.run import RunFailedError, carry_out

__all__ = ["main"]

LOOK_S = 0.5
LOST: tuple[Status, str] = ("killed", "whoever watched over it was lost")
CANCEL: tuple[Status, str] = ("interrupted", "cancelled")


class _Stopped(KeyboardInterrupt):
    """Raised in the main thread in the middle of whatever it does."""

    def __init__(self, ending: tuple[Status, str]) -> None:
        super().__init__(ending[1])
        self.ending = ending


class _Messages(Listener):
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def send(self, **message: Any) -> None:
        with suppress(BrokenPipeError):  # nobody watches any more: standard input has ended, too
            self._stream.write(json.dumps(message).encode() + b"\n")
            self._stream.flush()

    def on_cell(self, cell: int, n_cells: int) -> None:
        self.send(cell=[cell, n_cells])

    def on_output(self, text: str) -> None:
        self.send(output=text)


def main() -> None:
    """Carry out the request that stands on standard input; nothing where its writer has gone."""
    messages = _Messages(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints does not mix with messages
    if not (line := _first_line(sys.stdin.fileno())):
        return
    request = Request(**json.loads(line))
    try:
        with _ended_when_unwanted(request):
            status, error = _carried_out(request, messages)
        messages.send(ended={"status": status, "error": error})
    except _Stopped as stop:
        messages.send(ended={"status": stop.ending[0], "error": stop.ending[1]})
    except OSError as error:
        facts = {"errno": error.errno, "filename": error.filename and str(error.filename)}
        messages.send(ended={"status": "failed", "error": error.strerror or str(error), **facts})


def _carried_out(request: Request, messages: _Messages) -> tuple[Status, str | None]:
    folder = Path(request.folder)
    with one_at_a_time(folder):  # waits until an attempt on a lost worker has ended
        manifest = Manifest.read(folder)
        if manifest.status == "succeeded":  # only the news of it were lost
            return "succeeded", None
        if manifest.started_at:
            manifest.status = "killed" if manifest.status == "running" else manifest.status
            manifest = begin_again(manifest, folder)
        notebook = nbformat.reads(request.notebook, 4)  # type: ignore[no-untyped-call]  # nbformat has no types
        try:
            carry_out(
                Prepared(folder, manifest, notebook),
                workspace=Path(request.workspace),
                listener=messages,
                environment=request.environment,
                memory_limit_bytes=request.memory_limit_bytes,
            )
        except RunFailedError as failure:
            return failure.status, Manifest.read(folder).error
    return "succeeded", None


def _first_line(stream: int) -> bytes:
    """Read byte by byte: what follows is for the thread that watches. Empty: it ended before."""
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := os.read(stream, 1)):
            return b""
        line += byte
    return line


@contextmanager
def _ended_when_unwanted(request: Request) -> Iterator[None]:
    """Raises ``_Stopped`` in this thread when standard input says so, ends or falls silent."""
    endings: list[tuple[Status, str]] = []

    lease_s = LEASE_S if request.is_leased else None

    def watch() -> None:
        endings.append(_awaited_ending(sys.stdin.fileno(), lease_s))
        os.kill(os.getpid(), signal.SIGTERM)

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows cleans up
        raise _Stopped(endings[0] if endings else LOST)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked for the run
    threading.Thread(target=watch, daemon=True).start()
    yield
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _awaited_ending(stream: int, lease_s: float | None) -> tuple[Status, str]:
    silent_s = 0.0
    while lease_s is None or silent_s < lease_s:
        looked_at = time.monotonic()
        ready, _, _ = select.select([stream], [], [], LOOK_S)
        if not ready:  # a machine that stood still has kept silent for all of them
            silent_s += min(time.monotonic() - looked_at, 2 * LOOK_S)
            continue
        said = os.read(stream, 1024)
        if CANCELLED in said:
            return CANCEL
        if not said:
            return LOST
        silent_s = 0.0
    return LOST


if __name__ == "__main__":
    main()
