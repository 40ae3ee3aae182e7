"""When an attempt is no longer wanted."""

import os
from types import SimpleNamespace

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


@pytest.fixture
def looks(monkeypatch):
    """``looks(*after)``: each look ends so many seconds later; one at a byte by what it is."""

    def set_to(reader, *what):
        clock, left = [0.0], list(what)

        def select(*_):
            found = left.pop(0)
            if isinstance(found, bytes):
                monkeypatch.setattr(attempt.os, "read", lambda *_: found)
                return [reader], [], []
            clock[0] += found
            return [], [], []

        monkeypatch.setattr(attempt, "select", SimpleNamespace(select=select))
        monkeypatch.setattr(attempt, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        return left

    return set_to


LOOK_S = attempt.LOOK_S


def test_an_attempt_lives_as_long_as_it_is_wanted(looks):
    silent = [LOOK_S] * 9
    looks(0, *silent, b".", *silent, b".", *silent, b"c")
    assert attempt._awaited_ending(0, 10 * LOOK_S) == CANCEL


def test_ten_looks_of_silence_are_its_end(looks):
    left = looks(0, *[LOOK_S] * 10, b".")
    assert attempt._awaited_ending(0, 10 * LOOK_S) == LOST
    assert left == [b"."]


def test_a_machine_that_stood_still_has_kept_nobody_silent(looks):
    looks(0, 1_000.0, 1_000.0, b".", 1_000.0, b"c")
    assert attempt._awaited_ending(0, 10 * LOOK_S) == CANCEL


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
