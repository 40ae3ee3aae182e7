"""The process that clients connect to: it hands connections to workers, and keeps those alive.

Workers that accept for themselves share connections by chance, and a few busy keep-alive clients
may all meet on one of them. Here each connection goes to the worker that has the fewest. Beside the
workers it keeps the process that lays out what is served next.
"""

import logging
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.context import SpawnProcess
from typing import Any

from recbench.priority import KEEPING, urgent
from recbench.refresh.registry import POINTER
from recbench.serving.metrics import Metrics, Shared, shared_metrics
from recbench.serving.options import ServiceOptions
from recbench.serving.scratch import scratch_folder
from recbench.serving.standby import StandbyProcess

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

BACKLOG = 2048
AGAIN_S = 1.0  # between the starts of a process that keeps failing
FULL_S = 0.1  # between two tries to take a connection where no more can be open
KILLED_S = 2.0  # beyond the time to drain
# of each library that would start more: requests run side by side in processes instead
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)


@dataclass(slots=True)
class _Worker:
    number: int
    process: SpawnProcess
    channel: socket.socket
    started_at: float
    ready: bool = False
    n_given: int = field(default=0)


class Supervisor:
    """Listens, and runs the workers until it is stopped.

    Args:
        options: of the service.

    Raises:
        OSError: the port is taken, or may not be used.
    """

    def __init__(self, options: ServiceOptions) -> None:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        self._options = options
        self._listening = socket.create_server(
            (options.host, options.port), family=family, backlog=BACKLOG
        )
        self.port: int = self._listening.getsockname()[1]
        self._context = multiprocessing.get_context("spawn")
        self._shared: Shared = shared_metrics(self._context, options.workers)
        self._selector = selectors.DefaultSelector()
        self._workers: dict[int, _Worker] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []  # what is to be started again, when
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the workers drain."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file
        with scratch_folder() as scratch:
            self._options = replace(self._options, scratch=scratch)
            self._standby = StandbyProcess(scratch)
            with urgent(KEEPING) if self._options.real_time else nullcontext():
                self._serve()

    def _serve(self) -> None:
        wake, woken = socket.socketpair()
        for end in (wake, woken, self._listening):
            end.setblocking(False)
        before = {n: signal.signal(n, self._stop) for n in (signal.SIGTERM, signal.SIGINT)}
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            self._selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(64))
            self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
            for number in range(self._options.workers):
                self._start(number)
            while not self._stopping:
                self._turn()
        finally:
            self._drain()
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (wake, woken):
                end.close()
            self._selector.close()

    def _turn(self) -> None:
        due = min((at for at, _ in self._due), default=None)
        wait = None if due is None else max(0.0, due - time.monotonic())
        for key, _ in self._selector.select(wait):
            call: Callable[[], Any] = key.data
            call()
        now = time.monotonic()
        ripe = [start for at, start in self._due if at <= now]
        self._due = [(at, start) for at, start in self._due if at > now]
        for start in ripe:
            start()

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.environ |= ONE_THREAD
        process = self._context.Process(
            target=_work,
            args=(self._options, theirs, self._shared, number),
            name=f"recbench-serve-{number}",
        )
        process.start()
        theirs.close()
        ours.setblocking(False)
        closed = self._shared.closed[number]
        worker = _Worker(number, process, ours, time.monotonic(), n_given=closed)
        self._workers[number] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))

    def _hear(self, worker: _Worker) -> None:
        """A worker is ready, or has ended."""
        try:
            said = worker.channel.recv(1)
        except BlockingIOError:
            return
        except ConnectionError:
            said = b""
        if said:
            worker.ready = True
            if not self._standby.was_started and self._options.release == POINTER:
                self._start_standby()
            return
        self._selector.unregister(worker.channel)
        worker.channel.close()
        worker.process.join()
        del self._workers[worker.number]
        logger.error("Worker %d ended by itself (%s)", worker.number, worker.process.exitcode)
        self._shared.closed[worker.number] = worker.n_given  # its connections ended with it
        Metrics(self._shared, worker.number).gone()
        self._again(partial(self._start, worker.number), started_at=worker.started_at)

    def _start_standby(self) -> None:
        """Not before there is something to serve: what answers comes first."""
        started_at = time.monotonic()
        try:
            keeper = self._standby.start()
        except OSError as error:  # there is no memory for it now
            logger.error("What lays out releases does not start: %s", error)
            self._again(self._start_standby, started_at=started_at)
            return

        def ended() -> None:
            self._selector.unregister(keeper)
            keeper.close()
            logger.error("What lays out releases ended by itself (%s)", self._standby.stop())
            self._again(self._start_standby, started_at=started_at)

        self._selector.register(keeper, selectors.EVENT_READ, ended)

    def _again(self, start: Callable[[], None], *, started_at: float) -> None:
        self._due.append((max(time.monotonic(), started_at + AGAIN_S), start))

    def _accept(self) -> None:
        """Hand one connection to a worker; with none to take it, it ends."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # too many files are open
            logger.error("No connection can be taken: %s", error)
            time.sleep(FULL_S)
            return
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for worker in self._by_load():
                with suppress(OSError):  # it is gone, or its channel is full
                    socket.send_fds(worker.channel, [b"c"], [connection.fileno()])
                    worker.n_given += 1
                    return

    def _by_load(self) -> list[_Worker]:
        """Those with a release first, of them those with the fewest connections."""

        def order(worker: _Worker) -> tuple[bool, int]:
            return not worker.ready, worker.n_given - self._shared.closed[worker.number]

        return sorted(self._workers.values(), key=order)

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    def _drain(self) -> None:
        self._selector.unregister(self._listening)
        self._listening.close()
        for worker in self._workers.values():
            worker.process.terminate()
        until = time.monotonic() + self._options.limits.drain_s + KILLED_S
        for worker in self._workers.values():
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.channel.close()
        self._standby.close()


def _work(options: ServiceOptions, channel: socket.socket, shared: Shared, number: int) -> None:
    """In the new process, which alone loads what a worker needs."""
    from recbench.serving.worker import work

    work(options, channel, shared, number)
