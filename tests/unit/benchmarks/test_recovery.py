"""The bench of recovery, at a tiny size."""

import pytest

from recbench.benchmarks import recovery
from recbench.errors import InputError


def test_figures_are_the_median_and_the_worst_of_each_kind():
    seconds = {"rank_killed": [1.0, 2.0, 6.0], "rank_stopped": [3.0, 3.5, 2.5]}
    result = recovery._result(seconds)
    assert result.figures == {
        "rank_killed_p50_s": 2.0,
        "rank_killed_max_s": 6.0,
        "rank_stopped_p50_s": 3.0,
        "rank_stopped_max_s": 3.5,
    }
    assert result.runs[1] == {"rank_killed_s": 2.0, "rank_stopped_s": 3.5}


def test_numbers_below_one_are_refused():
    with pytest.raises(InputError, match=r"got \(0, 50000\)"):
        recovery.run(runs=0)


@pytest.mark.long(40)
@pytest.mark.slow
def test_training_goes_on_after_each_kind_of_strike():
    result = recovery.run(runs=1, events=3_000)
    assert result.figures.keys() == {
        f"{kind}_{figure}_s" for kind in recovery.STRIKES for figure in ("p50", "max")
    }
    # a stopped rank is given up after two seconds without a word, not before
    assert result.figures["rank_stopped_p50_s"] > 1.9
