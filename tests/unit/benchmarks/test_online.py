"""What is measured of the online state."""

import pytest

from recbench.benchmarks import online
from recbench.errors import InputError, JobError


def test_figures_are_of_the_state_after_all_events():
    figures = online.measure(events=3_000)
    assert 0 < figures["lookup_p50_us"] <= figures["lookup_p99_us"]
    # 60 users with 50 events each; an event takes some tens of bytes in each of a few streams
    assert 1e8 < figures["memory_bytes_per_million_users"] < 1e11


def test_other_numbers_than_plain_pythons_are_refused(monkeypatch):
    monkeypatch.setattr(online, "HOUR", online.HOUR - 60 * 10**6)
    with pytest.raises(JobError, match=r"User \d+ has .* online, but .* in plain Python"):
        online.measure(events=3_000)


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="at least 1, got 0"):
        online.measure(events=0)
