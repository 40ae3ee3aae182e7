"""The process of one attempt: started, kept as long as it is wanted, and what it says passed on."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from recbench.jobs.request import CANCELLED, LEASE_S, WANTED, Request

__all__ = ["watch"]

POLL_S = 0.05
END_S = 20.0  # that an attempt may take to end its kernel and write its manifest
COMMAND = (sys.executable, "-m", "recbench.jobs.attempt")
Message = dict[str, Any]


def watch(
    request: Request,
    *,
    tell: Callable[[Message], None],
    unwanted: Callable[[], bytes | None],
) -> Message:
    """Carry the request out in a process of its own; ended with this call, however that ends.

    Args:
        request: what to do.
        tell: is given each message, such as ``{"cell": [1, 5]}``, by a thread.
        unwanted: asked often; the last word to an attempt that nobody wants any more, else None.

    Returns:
        How it ended: ``{"status", "error"}``, and ``errno``, ``filename`` of an OSError.
    """
    here = Path(request.working_directory)
    ended: list[Message] = []
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
        reader = threading.Thread(target=_pass_on, args=(process, tell, ended), daemon=True)
        reader.start()
        try:
            _write(process, json.dumps(asdict(request)).encode() + b"\n")
            _keep(process, unwanted)
        except KeyboardInterrupt:
            _end(process, CANCELLED)
            raise
        finally:
            process.kill()
            process.wait()
            reader.join()
            _close(process)
        if ended:
            return ended[0]
        errors.seek(0)
        return _silent_end(process.returncode, errors.read())


def _keep(process: "subprocess.Popen[bytes]", unwanted: Callable[[], bytes | None]) -> None:
    """Returns when the process has ended; ends it once nobody wants it any more."""
    told = time.monotonic()
    while process.poll() is None:
        if (word := unwanted()) is not None:
            _end(process, word)
            return
        if time.monotonic() - told > LEASE_S / 10:
            _write(process, WANTED)
            told = time.monotonic()
        time.sleep(POLL_S)


def _end(process: "subprocess.Popen[bytes]", word: bytes) -> None:
    """Let it end its kernel and record that; it is given some seconds."""
    _write(process, word)
    with suppress(BrokenPipeError):
        _pipe(process).close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_S)


def _close(process: "subprocess.Popen[bytes]") -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # what was never read
            pipe.close()  # type: ignore[union-attr]  # both are pipes


def _pass_on(
    process: "subprocess.Popen[bytes]", tell: Callable[[Message], None], ended: list[Message]
) -> None:
    for line in process.stdout:  # type: ignore[union-attr]  # a pipe
        message = json.loads(line)
        if "ended" in message:
            ended.append(message["ended"])
        else:
            tell(message)


def _write(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    with suppress(BrokenPipeError):  # it has ended; whoever waits for it will see that
        _pipe(process).write(data)
        _pipe(process).flush()


def _pipe(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


def _silent_end(code: int, errors: bytes) -> Message:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = errors.decode(errors="replace").strip().splitlines()[-1:] or [""]
    return {"status": "killed", "error": f"the job's process ended with {how}. {last[0]}".strip()}
