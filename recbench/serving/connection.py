"""One HTTP connection: patience with slow clients, and a short way for requests that come whole.

Most requests for a list arrive in one piece. They need no task, no ASGI messages and no routing,
which together cost as much as a quarter of the answer: they are put into the turn of the event loop
and answered with all others that it brought. Whatever is unusual (a body in pieces, a request
behind another one, an encoding, HTTP/1.0) goes the ordinary way through the application.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recbench.serving.exchange import Headers, Pending, Reply
from recbench.serving.metrics import Metrics
from recbench.serving.options import Limits
from recbench.serving.turn import Turn, WholeRequest

__all__ = ["connection_class"]

URL = b"/recommend"
UNUSUAL = frozenset({b"content-encoding", b"expect", b"transfer-encoding", b"upgrade"})
WHOLE_BYTES = 65_536  # what comes in one piece is smaller
STATUS_LINES = {
    200: b"HTTP/1.1 200 OK\r\n",
    400: b"HTTP/1.1 400 Bad Request\r\n",
    401: b"HTTP/1.1 401 Unauthorized\r\n",
    500: b"HTTP/1.1 500 Internal Server Error\r\n",
    503: b"HTTP/1.1 503 Service Unavailable\r\n",
}


class Connection(HttpToolsProtocol):
    """Uvicorn's protocol for clients that may be slow, but not for ever."""

    limits: Limits
    metrics: Metrics
    pending: Pending
    turn: Turn | None

    _headers_due: asyncio.TimerHandle | None = None
    _whole: bytearray | None = None  # the body of a request on the short way, while it comes
    _waits = False  # for the turn's answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio types the base wider
        super().connection_made(transport)
        self._headers_due = self.loop.call_later(self.limits.body_s, self._give_up)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._whole is not None:
            self._go_the_ordinary_way()

    def on_message_begin(self) -> None:
        while self._waits and self.turn is not None:  # a request behind another one
            self.turn.answer()
        super().on_message_begin()
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(self.limits.body_s, self._give_up)

    def on_headers_complete(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None
        if self.turn is not None and self.url == URL and self._may_come_whole():
            self._whole = bytearray()
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        if self._whole is None:
            super().on_body(body)
        else:
            self._whole += body

    def on_message_complete(self) -> None:
        if self._whole is None or self.turn is None:
            super().on_message_complete()
            return
        body, self._whole = bytes(self._whole), None
        self._waits = True
        self.pending.n_begun += 1
        self.turn.add(WholeRequest(body, self.headers, self._reply))

    def on_response_complete(self) -> None:
        before = len(self.tasks)
        super().on_response_complete()  # begins what came meanwhile over this connection
        self.pending.n_begun += len(self.tasks) - before

    def shutdown(self) -> None:
        while self._waits and self.turn is not None:
            self.turn.answer()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
        self._whole = None
        super().connection_lost(exc)
        self.metrics.closed_one()

    def _may_come_whole(self) -> bool:
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if not (self.cycle is None or self.cycle.response_complete):
            return False
        length = -1
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name in UNUSUAL:
                return False
        return (
            0 <= length <= min(WHOLE_BYTES, self.limits.body_bytes)
            and self.parser.should_keep_alive()
            and not self.flow.write_paused
        )

    def _go_the_ordinary_way(self) -> None:
        """A part of the body has not come yet."""
        held, self._whole = self._whole, None
        if self.transport.is_closing():  # it was no HTTP, and is answered
            return
        self._begin()
        if held:
            super().on_body(bytes(held))

    def _begin(self) -> None:
        before = len(self.tasks)
        super().on_headers_complete()
        self.pending.n_begun += len(self.tasks) - before

    def _reply(self, reply: Reply) -> None:
        self._waits = False
        if self.transport.is_closing():
            return
        own = self.server_state.default_headers
        self.transport.write(_message(reply, own))
        self.on_response_complete()

    def _give_up(self) -> None:
        self.transport.close()


def connection_class(
    limits: Limits, *, metrics: Metrics, pending: Pending, turn: Turn | None
) -> type[Connection]:
    """The protocol of one worker's connections.

    Args:
        limits: of a request's bytes, and of the time within which its headers must be whole.
        metrics: told of connections that end.
        pending: told of requests that begin.
        turn: answers requests that come whole; None: all go through the application.
    """
    own = {"limits": limits, "metrics": metrics, "pending": pending, "turn": turn}
    return type("WorkersConnection", (Connection,), own)


def _message(reply: Reply, own: Headers) -> bytes:
    lines = [STATUS_LINES[reply.status]]
    for name, value in (*own, *reply.headers):
        lines.append(b"%b: %b\r\n" % (name, value))
    length = len(reply.body)
    lines.append(b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % length)
    lines.append(reply.body)
    return b"".join(lines)
