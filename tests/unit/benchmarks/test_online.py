"""What is measured of the online state."""

import pytest

from recbench.benchmarks.features import generated_events
from recbench.benchmarks.online import measure
from recbench.errors import InputError


def test_figures_are_of_the_state_after_all_events():
    figures = measure(generated_events(3_000, seed=0))
    assert 0 < figures["lookup_p50_us"] <= figures["lookup_p99_us"]
    # 60 users with 50 events each; an event takes some tens of bytes in each of a few streams
    assert 1e8 < figures["memory_bytes_per_million_users"] < 1e11


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="at least one row"):
        measure(generated_events(1, seed=0).clear())
