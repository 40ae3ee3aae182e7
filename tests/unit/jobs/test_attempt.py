"""When an attempt is no longer wanted."""

import os
import select

import pytest

from recbench.jobs import attempt
from recbench.jobs.attempt import CANCEL, LOST

LEASE_S = 0.5


@pytest.fixture
def pipe():
    """Both ends of the attempt's standard input."""
    reader, writer = os.pipe()
    open_ends = {reader, writer}

    def close(end):
        open_ends.discard(end)
        os.close(end)

    yield reader, writer, close
    for end in open_ends:
        os.close(end)


def test_silence_means_that_the_worker_is_lost(pipe):
    reader, _, _ = pipe
    assert attempt._awaited_ending(reader, LEASE_S) == LOST


def test_its_end_means_that_the_worker_is_lost(pipe):
    reader, writer, close = pipe
    os.write(writer, b".")
    close(writer)
    assert attempt._awaited_ending(reader, LEASE_S) == LOST


def test_a_cancelled_attempt_is_told_so(pipe):
    reader, writer, _ = pipe
    os.write(writer, b"..c")
    assert attempt._awaited_ending(reader, LEASE_S) == CANCEL


def test_an_attempt_lives_as_long_as_it_is_wanted(pipe, monkeypatch):
    reader, writer, _ = pipe
    patience = []

    def wanted_ten_times(*waited_for, select=select.select):
        patience.append(waited_for[-1])
        os.write(writer, b"." if len(patience) <= 10 else b"c")
        return select(*waited_for)

    monkeypatch.setattr(attempt.select, "select", wanted_ten_times)
    assert attempt._awaited_ending(reader, LEASE_S) == CANCEL
    assert patience == [LEASE_S] * 11  # a lease begins anew with each byte


def test_the_request_is_one_line_and_what_follows_is_left(pipe):
    reader, writer, _ = pipe
    os.write(writer, b"{}\n..")
    assert attempt._first_line(reader) == b"{}\n"
    assert os.read(reader, 10) == b".."


def test_an_attempt_whose_worker_dies_within_the_request_does_not_wait_for_the_rest(pipe):
    reader, writer, close = pipe
    os.write(writer, b'{"folder": "/a')
    close(writer)
    assert attempt._first_line(reader) == b""
