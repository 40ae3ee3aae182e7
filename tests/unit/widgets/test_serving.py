"""Figures of a service under load."""

import numpy as np
import polars as pl
import pytest

from recbench.widgets.serving import (
    latency_by_size_figure,
    latency_figure,
    latency_over_time_figure,
)


def test_the_share_that_took_longer_falls_from_all_to_one(drawn):
    axes = drawn(latency_figure({"Open loop": np.array([3.0, 1.0, 2.0, 4.0])}, bar_ms=8))
    assert axes.get_title(loc="left") == "Open loop: p99 4.00 ms, within 8 ms; p99.9 4.00 ms"
    (line,) = [one for one in axes.lines if one.get_label() == "Open loop"]
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert line.get_ydata().tolist() == [1.0, 0.75, 0.5, 0.25]
    assert "ms" in axes.get_xlabel()


def test_a_missed_bar_is_said_in_the_title(drawn):
    latencies = {"Open loop": np.array([9.0] * 10), "closed loop": np.array([1.0])}
    axes = drawn(latency_figure(latencies, bar_ms=8))
    assert "p99 9.00 ms, beyond 8 ms" in axes.get_title(loc="left")
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:2] == ["Open loop", "closed loop"]


def frame_of(n):
    return pl.DataFrame(
        {
            "due_s": np.linspace(0, 10, n, endpoint=False),
            "latency_ms": np.arange(1.0, n + 1),
            "error": [None] * (n - 1) + ["timeout"],
        }
    )


def test_swaps_and_the_worst_of_each_second_are_drawn(drawn):
    axes = drawn(latency_over_time_figure(frame_of(101), [2.5, 5.0], bar_ms=8))
    # p99 of 1 .. 100 is the 99th or 100th of them
    assert axes.get_title(loc="left") == "2 swaps: p99 100.00 ms, 1 of 101 requests failed"
    by_second = next(line for line in axes.lines if line.get_label() == "p99 by second")
    assert len(by_second.get_xdata()) == 10
    marks = [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert marks == [2.5, 5.0]


def test_the_slowest_are_drawn_however_many_there_are(drawn):
    frame = frame_of(60_001)
    axes = drawn(latency_over_time_figure(frame, [], bar_ms=8))
    points = axes.collections[0].get_offsets()
    assert len(points) <= 20_000
    assert points[:, 1].max() == 60_000
    assert (np.sort(points[:, 1])[-10_000:] == np.arange(50_001, 60_001)).all()


@pytest.mark.parametrize(
    ("p99_ms", "finding"), [([3.0, 9.0], "up to 10,000 items"), ([9.0, 9.0], "at every size")]
)
def test_the_largest_catalogue_within_the_bar_is_told(drawn, p99_ms, finding):
    table = pl.DataFrame(
        {"items": [10_000, 100_000], "clients": [8, 8], "p50_ms": [1.0, 2.0], "p99_ms": p99_ms}
    )
    axes = drawn(latency_by_size_figure(table, bar_ms=8))
    assert finding in axes.get_title(loc="left")


def test_no_size_is_no_finding(drawn):
    empty = pl.DataFrame(schema={"items": pl.Int64, "clients": pl.Int64})
    axes = drawn(latency_by_size_figure(empty, bar_ms=8))
    assert axes.get_title(loc="left") == "No size was measured"
