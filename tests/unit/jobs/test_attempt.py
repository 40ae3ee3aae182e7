"""When an attempt is no longer wanted."""

import os
from types import SimpleNamespace

import pytest

from recbench.jobs import attempt
from recbench.jobs.attempt import CANCEL, LOST

LEASE_S = 0.5
LOOK_S = attempt.LOOK_S


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
def awaited(pipe, monkeypatch):
    """``awaited(*what)``: the ending, and what was not looked at any more, of a lease of ten looks.

    Each look ends with so many seconds of silence, or with a byte.
    """
    reader, writer, _ = pipe

    def ending(*what):
        clock, left = [0.0], list(what)

        def select(*_):
            found = left.pop(0)
            if isinstance(found, bytes):
                os.write(writer, found)
                return [reader], [], []
            clock[0] += found
            return [], [], []

        monkeypatch.setattr(attempt, "select", SimpleNamespace(select=select))
        monkeypatch.setattr(attempt, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        return attempt._awaited_ending(reader, 10 * LOOK_S), left

    return ending


def test_an_attempt_lives_as_long_as_it_is_wanted(awaited):
    silent = [LOOK_S] * 9
    assert awaited(*silent, b".", *silent, b".", *silent, b"c") == (CANCEL, [])


def test_ten_looks_of_silence_are_its_end(awaited):
    assert awaited(*[LOOK_S] * 10, b".") == (LOST, [b"."])


def test_a_machine_that_stood_still_has_kept_nobody_silent(awaited):
    assert awaited(1_000.0, 1_000.0, b".", 1_000.0, b"c") == (CANCEL, [])


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
