"""HTTP/1.1 replies out of a stream of bytes."""

from typing import NamedTuple

__all__ = ["BadReply", "Reply", "take_reply"]

END = b"\r\n\r\n"
LONGEST_HEAD = 65_536  # bytes


class BadReply(ValueError):
    """What came is no HTTP reply of known length."""


class Reply(NamedTuple):
    """One whole reply."""

    status: int
    body: bytes
    closes: bool  # whether the connection ends with it


def take_reply(buffer: bytearray) -> Reply | None:
    """The first reply of ``buffer``, removed from it; None, and nothing removed, until it is whole.

    Raises:
        BadReply: no status line, or no ``Content-Length``: chunked replies are not read.
    """
    end = buffer.find(END)
    if end < 0:
        if len(buffer) > LONGEST_HEAD:
            raise BadReply(f"no end of the headers within {LONGEST_HEAD} bytes")
        return None
    status_line, _, rest = bytes(buffer[:end]).partition(b"\r\n")
    words = status_line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise BadReply(f"no status line: {status_line[:80]!r}")
    length, closes = None, words[0] == b"HTTP/1.0"
    for line in rest.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            if not value.strip().isdigit():
                raise BadReply(f"`Content-Length` is {value!r}")
            length = int(value)
        elif name == b"connection":
            closes = value.strip() == b"close"
    if length is None:
        raise BadReply("no `Content-Length` among the headers")
    start = end + len(END)
    if len(buffer) < start + length:
        return None
    body = bytes(buffer[start : start + length])
    del buffer[: start + length]
    return Reply(int(words[1]), body, closes)
