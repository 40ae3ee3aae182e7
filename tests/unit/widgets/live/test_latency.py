"""The latency explorer's dials choose a load, its time and the bar."""

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.widgets.live import latency_explorer


def load_of(latencies, errors=None):
    n = len(latencies)
    return pl.DataFrame(
        {
            "due_s": np.linspace(0, 10, n, endpoint=False),
            "latency_ms": [float(value) for value in latencies],
            "error": errors or [None] * n,
        },
        schema_overrides={"error": pl.String},
    )


@pytest.fixture
def explorer():
    loads = {
        "quiet": load_of([1.0] * 50 + [3.0] * 50),
        "busy": load_of([9.0] * 99 + [20.0], [None] * 99 + ["timeout"]),
    }
    return latency_explorer(loads, swaps_s={"quiet": [2.0, 7.0]}, bar_ms=8)


def test_it_opens_on_the_first_load(explorer):
    assert "quiet: p99 3.00 ms, within 8 ms" in explorer.below.value


def test_another_load_is_beyond_the_bar_until_the_bar_is_moved(explorer):
    explorer.dials["load"].value = "busy"
    assert "busy: p99 9.00 ms, beyond 8 ms" in explorer.below.value
    explorer.dials["bar_ms"].value = 10.0
    assert "busy: p99 9.00 ms, within 10 ms" in explorer.below.value


def test_two_loads_are_told_side_by_side(explorer):
    assert ">busy<" not in explorer.below.value
    explorer.dials["beside"].value = "busy"
    assert ">busy<" in explorer.below.value
    assert explorer.below.value.count("<tr>") == 3


def test_a_part_of_the_time_has_its_own_percentiles(explorer):
    explorer.dials["span"].value = (0.0, 4.0)
    assert "quiet: p99 1.00 ms" in explorer.below.value


def test_over_time_the_swaps_within_are_counted(explorer):
    explorer.dials["view"].value = "over time"
    assert "2 swaps: p99 3.00 ms, no request failed" in explorer.below.value
    explorer.dials["span"].value = (0.0, 4.0)
    assert "1 swap: p99 1.00 ms" in explorer.below.value
    explorer.dials["load"].value = "busy"
    assert "0 swaps: p99 9.00 ms" in explorer.below.value


def test_no_loads_are_refused():
    with pytest.raises(InputError, match="`loads` is empty"):
        latency_explorer({})
