"""Ports that servers are told."""

import socket

from recbench import loopback
from recbench.loopback import free_port


def test_it_can_be_bound_and_is_none_that_a_system_gives_by_itself():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert 1024 < port < 32_768


def test_one_that_is_taken_is_passed_over(monkeypatch):
    port = free_port()
    drawn = iter([port, port, port + 1 if port < loopback.HIGHEST else port - 1])
    monkeypatch.setattr(loopback.secrets, "randbelow", lambda _: next(drawn) - loopback.LOWEST)
    with socket.create_server(("127.0.0.1", port)):
        assert free_port() != port
