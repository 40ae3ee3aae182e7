"""A server that gives every request the same reply: what remains is the load tool's own cost."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from recbench.errors import JobError

__all__ = ["canned_server"]

START_S = 120.0


class _Canned(asyncio.Protocol):
    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._held = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if end and len(body) >= length:  # one request at a time, as the load tool sends them
            self._held.clear()
            self._transport.write(self._reply)


@contextmanager
def canned_server(body: bytes) -> Iterator[int]:
    """The loopback port of a server in another process that answers 200 with ``body``.

    Raises:
        JobError: it does not start.
    """
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_serve, args=(f"{head}\r\n\r\n".encode() + body, theirs), daemon=True
    )
    process.start()
    try:
        if not ours.poll(START_S):
            raise JobError(f"The canned server did not start within {START_S:.0f} s")
        yield ours.recv()
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()
        theirs.close()


def _serve(reply: bytes, told: "Connection[int, int]") -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Canned(reply), "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
