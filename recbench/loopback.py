"""Ports of the loopback interface for servers that must be told theirs."""

import secrets
import socket

__all__ = ["LOOPBACK", "free_port"]

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 32_767  # below those that a system gives to whoever names none


def free_port() -> int:
    """A port that nobody listens on, and that nobody is given until a server binds it.

    Raises:
        OSError: none was found.
    """
    for _ in range(100):
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST} at {LOOPBACK}")
