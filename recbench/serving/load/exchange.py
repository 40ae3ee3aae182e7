"""Requests sent when they are due over kept connections, by one thread that waits in `select`.

`select` wakes within some 60 microseconds of an instant, where an event loop's timers are good to a
millisecond; and without one a request costs the tool about 20 microseconds.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recbench.serving.load.replies import BadReply, take_reply
from recbench.serving.load.target import Target

__all__ = ["Exchanged", "exchange"]

REST_S = 0.1  # after a connection was refused
CONNECT_S = 1.0
IDLE_S = 1.0  # after so long a server may have ended a kept connection
RECEIVED = 65_536  # bytes at once
FOREVER = float("inf")
NOTHING: list[socket.socket] = []


class Exchanged(NamedTuple):
    """One request and what became of it; times are seconds since the load began."""

    number: int  # in the order of sending
    due_s: float
    sent_s: float
    done_s: float
    error: str | None  # refused, closed, timeout, malformed or unsent; None where a reply came
    status: int  # of HTTP; 0 without a reply
    body: bytes


@dataclass(slots=True)
class _Connection:
    buffer: bytearray
    link: socket.socket | None = None
    number: int = -1
    due_s: float = 0.0
    sent_s: float = 0.0


def exchange(
    target: Target,
    requests: Sequence[bytes],
    due: Callable[[int, float], float | None],
    *,
    connections: int,
    timeout_s: float,
    last_s: float,
) -> tuple[list[Exchanged], float]:
    """Everything that was sent, in the order of completion, and when (epoch seconds) it began.

    Args:
        target: where to.
        requests: whole HTTP requests, sent in turns.
        due: of the n-th request, at so many seconds: when it is to be sent; None: there is none.
        connections: how many requests may be under way at once.
        timeout_s: from sending; then the connection is closed.
        last_s: what is due, but could not be sent by then, is ``unsent``.
    """
    loop = _Loop(target, requests, due, connections=connections, timeout_s=timeout_s)
    collected = gc.isenabled()
    gc.disable()  # a collection would delay what is due
    try:
        loop.run(last_s)
    finally:
        loop.close()
        if collected:
            gc.enable()
    return loop.done, loop.began_at


class _Loop:
    def __init__(
        self,
        target: Target,
        requests: Sequence[bytes],
        due: Callable[[int, float], float | None],
        *,
        connections: int,
        timeout_s: float,
    ) -> None:
        self.done: list[Exchanged] = []
        self._target, self._requests, self._due = target, requests, due
        self._timeout_s = timeout_s
        self._n_sent = 0
        # first in, first out: the load goes round all connections, and so round all workers
        self._free = deque(_Connection(bytearray()) for _ in range(connections))
        self._resting: deque[tuple[float, _Connection]] = deque()
        self._busy: dict[socket.socket, _Connection] = {}  # oldest first
        for connection in self._free:
            connection.link = self._connected()
        self.began_at = time.time()
        self._start = time.perf_counter()

    def run(self, last_s: float) -> None:
        """Until nothing is due any more and all is answered."""
        while True:
            next_s = self._send_due(last_s)
            if next_s is None and not self._busy:
                return
            self._receive(self._patience(next_s))
            self._expire()

    def close(self) -> None:
        """End all connections."""
        held = [*self._free, *self._busy.values(), *(one for _, one in self._resting)]
        for connection in held:
            _hang_up(connection)

    def _now(self) -> float:
        return time.perf_counter() - self._start

    def _send_due(self, last_s: float) -> float | None:
        """Send what is due while there are connections; returns when the next one is due."""
        while True:
            now = self._now()
            due_s = self._due(self._n_sent, now)
            if due_s is None or due_s > now:
                return due_s
            if now > last_s:
                self._record(self._n_sent, (due_s, now), "unsent")
                self._n_sent += 1
                continue
            while self._resting and self._resting[0][0] <= now:
                self._free.append(self._resting.popleft()[1])
            if not self._free:
                return due_s
            self._send(self._free.popleft(), due_s)

    def _send(self, connection: _Connection, due_s: float) -> None:
        number, self._n_sent = self._n_sent, self._n_sent + 1
        now = self._now()
        if now - connection.sent_s > IDLE_S and _is_over(connection):
            _hang_up(connection)
        connection.link = connection.link or self._connected()
        connection.number, connection.due_s, connection.sent_s = number, due_s, self._now()
        if connection.link is None:
            self._fail(connection, "refused")
            return
        try:
            connection.link.sendall(self._requests[number % len(self._requests)])
        except OSError:
            self._fail(connection, "closed")
            return
        self._busy[connection.link] = connection

    def _patience(self, next_s: float | None) -> float:
        """How long nothing can be to do unless a reply comes."""
        now = self._now()
        until = FOREVER
        if next_s is not None and self._free:
            until = next_s
        elif next_s is not None and self._resting:
            until = max(next_s, self._resting[0][0])
        if self._busy:
            until = min(until, next(iter(self._busy.values())).sent_s + self._timeout_s)
        return max(0.0, until - now)

    def _receive(self, patience_s: float) -> None:
        readable, _, _ = select.select(self._busy, NOTHING, NOTHING, patience_s)
        for ready in readable:
            connection = self._busy[ready]
            try:
                received = ready.recv(RECEIVED)
                connection.buffer += received
                reply = take_reply(connection.buffer)
            except (OSError, BadReply) as error:
                self._fail(connection, "malformed" if isinstance(error, BadReply) else "closed")
                continue
            if reply is not None:
                del self._busy[ready]
                times = (connection.due_s, connection.sent_s)
                self._record(connection.number, times, None, reply.status, reply.body)
                if reply.closes:
                    _hang_up(connection)
                self._free.append(connection)
            elif not received:
                self._fail(connection, "closed")

    def _expire(self) -> None:
        while self._busy:
            connection = next(iter(self._busy.values()))
            if connection.sent_s + self._timeout_s > self._now():
                return
            self._fail(connection, "timeout")

    def _fail(self, connection: _Connection, error: str) -> None:
        if connection.link is not None:
            self._busy.pop(connection.link, None)
        _hang_up(connection)
        self._record(connection.number, (connection.due_s, connection.sent_s), error)
        if error == "refused":
            self._resting.append((self._now() + REST_S, connection))
        else:
            self._free.append(connection)

    def _record(
        self,
        number: int,
        times: tuple[float, float],
        error: str | None,
        status: int = 0,
        body: bytes = b"",
    ) -> None:
        self.done.append(Exchanged(number, *times, self._now(), error, status, body))

    def _connected(self) -> socket.socket | None:
        """A new connection; None where there is none to be had."""
        address = (self._target.host, self._target.port)
        try:
            opened = socket.create_connection(address, timeout=CONNECT_S)
        except OSError:
            return None
        opened.settimeout(self._timeout_s)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened


def _is_over(connection: _Connection) -> bool:
    held = connection.link
    return held is not None and bool(select.select([held], NOTHING, NOTHING, 0)[0])


def _hang_up(connection: _Connection) -> None:
    if connection.link is not None:
        connection.link.close()
    connection.link = None
    connection.buffer.clear()
