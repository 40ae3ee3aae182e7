"""The bench of scale, at a tiny size."""

from types import SimpleNamespace

import pytest

from recbench.benchmarks import scale
from recbench.errors import InputError, JobError


def test_numbers_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"got \(3, 50000, 100, 1\)"):
        scale.run(ranks=1)


def test_steps_that_are_over_too_soon_are_made_again_and_more_of_them(monkeypatch):
    seen_at = {10: [], 40: [(50, 3.0, 7.0)], 160: [(5, 0.0, 0.0), (20, 1.0, 2.0), (80, 3.0, 6.0)]}

    def fit(_, __, *, max_steps, cluster, **___):
        cluster.seen += seen_at[max_steps - scale.FIRST_STEPS]

    monkeypatch.setattr(scale, "fit", fit)
    ranks = SimpleNamespace(maximum=2)
    assert scale._speed(ranks, None, None, steps=10) == (30.0, 15.0)
    seen_at[160] = []
    with pytest.raises(JobError, match="160 steps of 2 ranks were over before they could be timed"):
        scale._speed(ranks, None, None, steps=10)


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
