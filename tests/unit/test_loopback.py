"""Ports that servers are told."""

import secrets
import socket
from types import SimpleNamespace

from recbench import loopback
from recbench.loopback import free_port


def test_it_can_be_bound_and_is_none_that_a_system_gives_by_itself():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert 1024 < port < 32_768


def test_one_that_is_taken_is_passed_over(monkeypatch):
    port = free_port()
    first = iter([port - loopback.LOWEST] * 2)
    drawn = SimpleNamespace(randbelow=lambda n: next(first, secrets.randbelow(n)))
    monkeypatch.setattr(loopback, "secrets", drawn)
    with socket.create_server(("127.0.0.1", port)):
        assert free_port() != port
    assert next(first, None) is None
