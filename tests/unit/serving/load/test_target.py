"""Whom load may be put on."""

import pytest

from recbench.errors import InputError
from recbench.serving.load import Target


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_word(host):
    assert Target(port=1, host=host).host == host


@pytest.mark.parametrize("host", ["10.0.0.7", "0.0.0.0", "example.org"])
def test_any_other_host_must_be_meant(host):
    with pytest.raises(InputError, match=f"must be loopback, got '{host}'"):
        Target(port=1, host=host)
    assert Target(port=1, host=host, elsewhere=True).host == host


def test_a_request_is_one_post_with_its_length_and_token():
    sent = Target(port=8000, token="abc").request(b"{}")
    head, body = sent.split(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /recommend HTTP/1.1",
        b"Host: 127.0.0.1:8000",
        b"Content-Type: application/json",
        b"Content-Length: 2",
        b"Authorization: Bearer abc",
    ]
    assert body == b"{}"
