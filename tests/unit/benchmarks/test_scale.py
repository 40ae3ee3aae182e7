"""The bench of scale, at a tiny size."""

import pytest

from recbench.benchmarks import scale
from recbench.errors import InputError


def test_numbers_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"got \(3, 50000, 100, 1\)"):
        scale.run(ranks=1)


@pytest.mark.slow
def test_all_its_figures_are_there_at_a_small_size():
    result = scale.run(runs=1, events=3_000, steps=30, ranks=3)
    assert result.figures.keys() == set(scale.KEYS) | {
        "gang_start_2_s",
        "gang_start_3_s",
        "task_overhead_2_ms",
        "task_overhead_3_ms",
        "grow_2_to_3_s",
        "shrink_3_to_2_s",
    }
    assert min(result.figures.values()) > 0
