"""One HTTP exchange on the bare ASGI interface: the body in, within its limits; JSON out."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recbench.serving.options import Limits

__all__ = ["JSON", "BodyReader", "Pending", "Refused", "Reply", "send_bytes"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
CLOSE = (b"connection", b"close")  # what is left of the body is not read


class Refused(Exception):  # it is an answer
    """An answer other than the one that was asked for."""

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or []


class Reply(NamedTuple):
    """An answer whose body is JSON."""

    status: int
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()  # beside those of the body


@dataclass(slots=True)
class Pending:
    """The requests of one worker that were begun and are not answered."""

    n_begun: int = 0
    n_answered: int = 0
    n_reading: int = 0  # of them: their bodies have not come yet, and it is not us they wait for

    @property
    def n_waiting(self) -> int:
        """For this worker."""
        return self.n_begun - self.n_answered - self.n_reading


class BodyReader:
    """Reads whole bodies within the limits.

    Args:
        limits: of size and time.
        pending: told of the requests that wait for their clients.
    """

    def __init__(self, limits: Limits, pending: Pending) -> None:
        self._limits, self._pending = limits, pending

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The body of one request.

        Raises:
            Refused: it is too large, compressed, does not come in time, or the client has gone.
        """
        limits = self._limits
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > limits.body_bytes:
                raise self._too_large()
            if name == b"content-encoding" and value != b"identity":
                raise Refused(415, "Compressed bodies are not read here", [CLOSE])
        self._pending.n_reading += 1
        try:
            async with asyncio.timeout(limits.body_s):
                return await self._whole(receive)
        except TimeoutError as error:
            raise Refused(408, f"No whole body within {limits.body_s:g} s", [CLOSE]) from error
        finally:
            self._pending.n_reading -= 1

    async def _whole(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "The client went away", [CLOSE])
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limits.body_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(413, f"The body may have at most {self._limits.body_bytes} bytes", [CLOSE])


async def send_bytes(
    send: Send,
    body: bytes,
    *,
    status: int = 200,
    kind: bytes = JSON,
    headers: Headers | None = None,
) -> None:
    """Answer with these bytes."""
    lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
