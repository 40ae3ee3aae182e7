"""Whom the load goes to: loopback, unless another host is named on purpose."""

import ipaddress
from dataclasses import dataclass

from recbench.errors import InputError

__all__ = ["Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A path of an HTTP server.

    Raises:
        InputError: the host is not loopback and ``elsewhere`` was not said.
    """

    port: int
    host: str = "127.0.0.1"
    path: str = "/recommend"
    token: str | None = None  # of the Authorization header
    elsewhere: bool = False  # whether load on another machine is meant

    def __post_init__(self) -> None:
        """Load on a stranger's server is a mistake that one makes once."""
        if not self.elsewhere and not _is_loopback(self.host):
            raise InputError(
                f"`host` must be loopback, got {self.host!r}. If that server is yours and the load "
                "is agreed, say `elsewhere=True`"
            )

    def request(self, body: bytes) -> bytes:
        """A POST of ``body`` as JSON, ready to be sent."""
        head = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([] if self.token is None else [f"Authorization: Bearer {self.token}"]),
        ]
        return "\r\n".join([*head, "", ""]).encode() + body


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name may resolve to anything
