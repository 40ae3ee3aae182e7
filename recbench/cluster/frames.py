"""Whole messages over a stream socket: a length, then a pickle. Both ends are our own processes."""

import pickle
import socket
import struct
from typing import Any

__all__ = ["receive", "send"]

LENGTH = struct.Struct("!Q")


def send(link: socket.socket, message: Any) -> None:
    """Send one message whole.

    Raises:
        OSError: the other end is gone.
    """
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    link.sendall(LENGTH.pack(len(body)))
    link.sendall(body)


def receive(link: socket.socket) -> Any:
    """The next message.

    Raises:
        EOFError: the other end closed, before or within a message.
    """
    (length,) = LENGTH.unpack(_exactly(link, LENGTH.size))
    return pickle.loads(_exactly(link, length))


def _exactly(link: socket.socket, n_bytes: int) -> bytearray:
    held = bytearray(n_bytes)
    view = memoryview(held)
    while view:
        try:
            n_read = link.recv_into(view)
        except ConnectionResetError:
            n_read = 0
        if not n_read:
            raise EOFError(f"The other end closed with {len(view)} of {n_bytes} bytes to come")
        view = view[n_read:]
    return held
