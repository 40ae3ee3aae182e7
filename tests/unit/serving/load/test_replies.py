"""HTTP replies out of a stream."""

import pytest

from recbench.serving.load.replies import BadReply, Reply, take_reply

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


def test_a_reply_is_taken_when_it_is_whole_wherever_it_was_cut():
    for cut in range(len(WHOLE)):
        buffer = bytearray(WHOLE[:cut])
        assert take_reply(buffer) is None
        buffer += WHOLE[cut:]
        assert take_reply(buffer) == Reply(200, b"hello", closes=False)
        assert buffer == b""


def test_what_follows_a_reply_stays():
    buffer = bytearray(WHOLE + b"HTTP/1.1 503 ")
    assert take_reply(buffer).body == b"hello"
    assert buffer == b"HTTP/1.1 503 "


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0", True),
    ],
)
def test_a_reply_says_whether_the_connection_ends(head, closes):
    assert take_reply(bytearray(head + b"\r\n\r\n")).closes is closes


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no status line: b'SSH-2.0-OpenSSH'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no `Content-Length`"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", "is b' -3'"),
        (b"x" * 70_000, "within 65536 bytes"),
    ],
)
def test_what_is_no_reply_is_refused(bad, why):
    with pytest.raises(BadReply, match=why):
        take_reply(bytearray(bad))
