"""A process that lays out releases with whatever time is left, kept for as long as the service.

Starting Python and importing what reads a release takes several times as long as laying one out,
and a machine that is busy answering leaves little time: what is published would be served late.
"""

import json
import logging
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from recbench.errors import InputError, ReleaseError
from recbench.priority import lower_process
from recbench.serving.idle import POLITE, made_politely

__all__ = ["Standby", "StandbyProcess", "main"]

logger = logging.getLogger(__name__)

PATIENCE_S = 30.0  # of who waits for time that nobody else wants
IDLE = "--idle"


class Standby:
    """The process as workers see it: one of them asks, the others wait.

    Args:
        scratch: the folder that the workers share.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def lay_out(self, registry: Path, release: str, *, precision: str) -> Path:
        """Verify a release and lay it out; returns the new folder, one in that of the workers.

        Where nobody leaves that process any time, another one does it with a little of theirs.

        Raises:
            ReleaseError: it is damaged, cannot be laid out, or the process was killed twice
                meanwhile.
        """
        job = {
            "registry": str(registry),
            "release": release,
            "scratch": str(self._scratch),
            "precision": precision,
        }
        told = self._told(job) or self._told(job)  # it may have been killed for other reasons
        if told is None:
            raise ReleaseError(
                f"{release} is not laid out: the process that was at it ended, killed perhaps for "
                "memory; the log above may say more"
            )
        if told["refused"] is not None:
            raise ReleaseError(told["refused"])
        return Path(told["folder"])

    def _told(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """What the process answers, or else the other one; None if it ended meanwhile."""
        try:
            line = self._asked(job)
        except TimeoutError:
            logger.warning(
                "%s has waited %.0f s to be laid out in time that nobody else wants. This machine "
                "has hardly any: it is done at nice %d",
                job["release"],
                PATIENCE_S,
                POLITE,
            )
            line = _asked_of_another(job)
        if not line:
            return None
        told: dict[str, Any] = json.loads(line)
        return told

    def _asked(self, job: dict[str, Any]) -> bytes:
        """Its answer; nothing if it ended meanwhile.

        Raises:
            TimeoutError: it has not done the job in time, and may do it still, for nobody.
        """
        with socket.socket(socket.AF_UNIX) as asking, suppress(ConnectionError):
            asking.settimeout(PATIENCE_S)
            with _address(self._scratch) as address:
                asking.connect(address)  # a process that just begins takes it up later
            _say(asking, job)
            return _line(asking)
        return b""


def _asked_of_another(job: dict[str, Any]) -> bytes:
    """The answer of a process of its own, which ends with the job; nothing if it was killed."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = made_politely(lambda: _started(theirs))
    with process, ours, suppress(ConnectionError):
        _say(ours, job)
        return _line(ours)
    return b""


class StandbyProcess:
    """The process as whoever keeps it sees it.

    Args:
        scratch: the folder that the workers share.
        is_idle: whether it takes only what time nobody else wants.
    """

    def __init__(self, scratch: Path, *, is_idle: bool = True) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        with _address(scratch) as address:
            self._listening.bind(address)
        self._listening.listen()  # outlives the process: who asks meanwhile waits
        self._is_idle = is_idle
        self._process: subprocess.Popen[bytes] | None = None
        self.was_started = False

    def start(self) -> socket.socket:
        """Begin; the socket has something to read once the process has ended."""
        self.was_started = True
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _started(self._listening, theirs, is_idle=self._is_idle)
        return ours

    def stop(self) -> int | None:
        """End it, whatever it is at; returns its exit code, None if there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()  # it may be stopped, and has nothing to bring in order
        return process.wait()

    def close(self) -> None:
        """End it for good; who still waits hears so."""
        self.stop()
        self._listening.close()


def main() -> None:
    """What a process does: one job, or all of them as long as there is somebody to do them for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever keeps it
    *options, handles = sys.argv[1:]
    if IDLE in options:
        lower_process()
    logging.basicConfig(level=logging.INFO, format="[next release] %(levelname)s %(message)s")
    logging.getLogger("faiss").setLevel(logging.ERROR)
    links = [socket.socket(fileno=int(handle)) for handle in handles.split(",")]
    if len(links) == 1:
        _do(*links, ends_with_it=True)
        return
    listening, keeper = links
    _import_all()
    while True:
        if keeper in _readable(listening, keeper, wait_s=None):  # it says nothing: it is gone
            return
        asked, _ = listening.accept()
        with asked:
            _do(asked)


def _do(asked: socket.socket, *, ends_with_it: bool = False) -> None:
    """One job; a worker that was killed, or has waited for too long, hears nothing."""
    line = _line(asked)
    if not line or _is_gone(asked):
        return
    if ends_with_it:
        threading.Thread(target=_end_with, args=[asked], daemon=True).start()
    job = json.loads(line)
    folder = refused = None
    try:
        folder = _laid_out(**job)
    except InputError as error:
        refused = str(error)
    except Exception:
        if _is_gone(asked):  # and with it, perhaps, the folder
            return
        logger.exception("%s cannot be laid out", job["release"])
        refused = f"{job['release']} cannot be laid out, the log above says why"
    try:
        _say(asked, {"folder": None if folder is None else str(folder), "refused": refused})
    except ConnectionError:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _started(*links: socket.socket, is_idle: bool = False) -> subprocess.Popen[bytes]:
    handles = [link.fileno() for link in links]
    options = [IDLE] if is_idle else []
    return subprocess.Popen(
        [sys.executable, "-m", __name__, *options, ",".join(map(str, handles))],
        stdin=subprocess.DEVNULL,
        pass_fds=handles,
    )


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


def _say(link: socket.socket, what: dict[str, Any]) -> None:
    link.sendall(json.dumps(what).encode() + b"\n")


def _line(link: socket.socket) -> bytes:
    """Up to the end of the line; nothing if the other one has gone before."""
    with link.makefile("rb") as file:
        line = file.readline()
    return line if line.endswith(b"\n") else b""


def _readable(*links: socket.socket, wait_s: float | None) -> set[Any]:
    """Those with something to read, or whose other end has gone."""
    with selectors.DefaultSelector() as looking:  # a busy service's handles may be large numbers
        for link in links:
            looking.register(link, selectors.EVENT_READ)
        return {key.fileobj for key, _ in looking.select(wait_s)}


def _is_gone(asked: socket.socket) -> bool:
    """Whether who asked has gone: they say nothing more."""
    return bool(_readable(asked, wait_s=0.0))


def _end_with(asked: socket.socket) -> None:
    _readable(asked, wait_s=None)
    os._exit(1)


def _laid_out(registry: str, release: str, scratch: str, precision: str) -> Path:
    from recbench.refresh.registry import Registry
    from recbench.serving.prepare import laid_out_here

    return laid_out_here(Registry(Path(registry)), release, Path(scratch), precision=precision)


if __name__ == "__main__":
    main()
