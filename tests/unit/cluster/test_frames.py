import socket

import numpy as np
import pytest

from recbench.cluster import frames


@pytest.fixture
def ends():
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_messages_arrive_whole_and_in_order(ends):
    one, other = ends
    for message in ({"rank": 1}, np.arange(5000), None):
        frames.send(one, message)
    assert frames.receive(other) == {"rank": 1}
    assert frames.receive(other).sum() == 4999 * 2500
    assert frames.receive(other) is None


def test_an_end_between_messages_is_told_from_one_within(ends):
    one, other = ends
    one.sendall(frames.LENGTH.pack(100) + b"only this")
    one.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError, match="with 91 of 100 bytes to come"):
        frames.receive(other)
    with pytest.raises(EOFError, match="with 8 of 8 bytes to come"):
        frames.receive(other)
