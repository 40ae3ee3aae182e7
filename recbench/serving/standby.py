"""A process that lays out releases with whatever time is left, kept for as long as the service.

Starting Python and importing what reads a release takes several times as long as laying one out,
and a machine that is busy answering leaves little time: what is published would be served late.
"""

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from recbench.errors import InputError, ReleaseError

__all__ = ["Standby", "StandbyProcess", "main"]

logger = logging.getLogger(__name__)

PATIENCE_S = 60.0  # of who waits, before it says so


class Standby:
    """The process as workers see it: one of them asks, the others wait.

    Args:
        scratch: the folder that the workers share.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def lay_out(self, registry: Path, release: str, folder: Path, *, precision: str) -> None:
        """Verify a release and lay it out in an empty folder.

        Raises:
            ReleaseError: it is damaged, cannot be laid out, or the process was killed twice
                meanwhile.
        """
        job = {
            "registry": str(registry),
            "release": release,
            "folder": str(folder),
            "precision": precision,
        }
        told = self._ask(job) or self._ask(job)  # it may have been killed for other reasons
        if told is None:
            raise ReleaseError(
                f"{release} is not laid out: the process that was at it ended, killed perhaps for "
                "memory; the log above may say more"
            )
        if told["refused"] is not None:
            raise ReleaseError(told["refused"])

    def _ask(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """What the process answers; None if it ended meanwhile."""
        line = b""
        with socket.socket(socket.AF_UNIX) as asking, suppress(ConnectionError):
            with _address(self._scratch) as address:
                asking.connect(address)  # a process that just begins takes it up later
            asking.sendall(json.dumps(job).encode() + b"\n")
            if not select.select([asking], [], [], PATIENCE_S)[0]:
                logger.warning(
                    "%s has waited %.0f s for time that nobody else wants, and goes on waiting: "
                    "this machine has none, or hardly any",
                    job["release"],
                    PATIENCE_S,
                )
            line = _line(asking)
        if not line:
            return None
        told: dict[str, Any] = json.loads(line)
        return told


class StandbyProcess:
    """The process as whoever keeps it sees it.

    Args:
        scratch: the folder that the workers share.
    """

    def __init__(self, scratch: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        with _address(scratch) as address:
            self._listening.bind(address)
        self._listening.listen()  # outlives the process: who asks meanwhile waits
        self._process: subprocess.Popen[bytes] | None = None
        self.was_started = False

    def start(self) -> socket.socket:
        """Begin; the socket has something to read once the process has ended."""
        self.was_started = True
        ours, theirs = socket.socketpair()
        with theirs:
            handles = self._listening.fileno(), theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "recbench.serving.standby", *map(str, handles)],
                stdin=subprocess.DEVNULL,
                pass_fds=handles,
            )
        return ours

    def stop(self) -> int | None:
        """End it, whatever it is at; returns its exit code, None if there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        return process.wait()

    def close(self) -> None:
        """End it for good; who still waits hears so."""
        self.stop()
        self._listening.close()


def main() -> None:
    """What the process does as long as there is somebody to do it for."""
    from recbench.priority import lower_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever keeps it
    lower_process()
    logging.basicConfig(level=logging.INFO, format="[next release] %(levelname)s %(message)s")
    logging.getLogger("faiss").setLevel(logging.ERROR)
    listening, keeper = (socket.socket(fileno=int(handle)) for handle in sys.argv[1:])
    _import_all()
    while True:
        readable, _, _ = select.select([listening, keeper], [], [])
        if keeper in readable:  # it says nothing: it is gone
            return
        asked, _ = listening.accept()
        with asked, suppress(ConnectionError):  # a worker that was killed hears nothing
            line = _line(asked)
            if line:
                asked.sendall(json.dumps({"refused": _done(**json.loads(line))}).encode() + b"\n")


@contextmanager
def _address(scratch: Path) -> Iterator[str]:
    """Of the socket; short, since a socket's may have no more than 107 bytes."""
    folder = os.open(scratch, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/.standby"
    finally:
        os.close(folder)


def _import_all() -> None:
    """What laying out needs, before there is anything to lay out."""
    import_module("recbench.serving.prepare")
    import_module("onnxruntime")
    with suppress(ModuleNotFoundError):  # small catalogues do without
        import_module("faiss")


def _line(link: socket.socket) -> bytes:
    """Up to the end of the line; nothing if the other one has gone before."""
    with link.makefile("rb") as file:
        line = file.readline()
    return line if line.endswith(b"\n") else b""


def _done(registry: str, release: str, folder: str, precision: str) -> str | None:
    """None, or why there is no such release to serve."""
    from recbench.refresh.registry import Registry
    from recbench.serving.prepare import laid_out_here

    try:
        laid_out_here(Registry(Path(registry)), release, Path(folder), precision=precision)
    except InputError as error:
        return str(error)
    except Exception:
        logger.exception("%s cannot be laid out", release)
        return f"{release} cannot be laid out, the log above says why"
    return None


if __name__ == "__main__":
    main()
