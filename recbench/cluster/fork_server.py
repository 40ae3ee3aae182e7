"""A process beside each worker that has torch imported, and forks a rank in milliseconds.

    python -m recbench.cluster.fork_server SOCKET

What costs time when a rank starts is importing torch and lightning: 3 to 15 seconds. Here it is
done once, before anybody waits. Nothing is computed before the fork and CUDA is not touched:
neither OpenMP's threads nor a CUDA context outlive one. One connection is one rank: the request is
a `RankOrders`, then come the rank's own messages and at last ``("exit", status)``. A connection
closed from the other end kills its rank, and so does the end of standard input, which is a pipe
from the worker: a killed worker leaves nothing behind.
"""

import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from recbench.cluster import frames
from recbench.priority import lower_own_session

__all__ = ["ForkServer"]

NEEDED = ("recbench.cluster.rank_process", "recbench.training.distributed", "recbench.training.fit")
PR_SET_PDEATHSIG = 1
REQUEST_S = 10.0  # a connection that asks for nothing is not waited for any longer


class ForkServer:
    """Single-threaded, so that a fork copies a process of which everything is known."""

    def __init__(self, path: Path) -> None:
        """Listen on the Unix socket ``path``."""
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self.links: dict[int, socket.socket] = {}  # by process id of the rank
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Fork ranks until standard input ends."""
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # else nothing is written to the pipe
        for source in (self.listening, sys.stdin, wake):
            self.selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listening:
                    self._fork()
                elif key.fileobj is sys.stdin:
                    return self._end()
                elif key.fileobj == wake:
                    os.read(wake, 1 << 12)
                elif key.data in self.links:  # nothing is sent after the request: it was closed
                    os.kill(key.data, signal.SIGKILL)
                    self.selector.unregister(key.fileobj)
            self._reap()

    def _fork(self) -> None:
        link, _ = self.listening.accept()
        link.settimeout(REQUEST_S)
        try:
            orders = frames.receive(link)
        except (EOFError, OSError):
            link.close()
            return
        link.settimeout(None)
        parent = os.getpid()
        process = os.fork()
        if process == 0:
            self._become_rank(orders, link, parent)
        self.links[process] = link
        self.selector.register(link, selectors.EVENT_READ, data=process)

    def _become_rank(self, orders: Any, link: socket.socket, parent: int) -> None:
        """Never returns."""
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died in between
                os._exit(1)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.selector.close()
            self.listening.close()
            for other in self.links.values():
                other.close()
            from recbench.cluster.rank_process import run_rank

            frames.send(link, ("started", os.getpid()))
            status = run_rank(orders, link)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # no cleaning up of what the parent set up

    def _reap(self) -> None:
        for process in list(self.links):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                link = self.links.pop(process)
                if link in self.selector.get_map():
                    self.selector.unregister(link)
                _send_if_there(link, ("exit", os.waitstatus_to_exitcode(status)))
                link.close()

    def _end(self) -> None:
        for process in self.links:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _send_if_there(link: socket.socket, message: tuple[str, int]) -> None:
    with suppress(OSError):  # nobody waits for it any more
        frames.send(link, message)


def _import_ahead() -> None:
    """What a rank needs, in memory that ranks share; frozen, so that no collection copies it."""
    for name in NEEDED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _main(path: Path) -> None:
    lower_own_session()
    server = ForkServer(path)
    _import_ahead()
    print("warm", flush=True)  # noqa: T201  # to the worker
    server.serve()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
