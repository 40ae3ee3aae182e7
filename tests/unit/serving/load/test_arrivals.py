"""Poisson arrivals."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.serving.load.arrivals import poisson_arrivals


def test_arrivals_ascend_within_the_duration_and_depend_on_the_seed_only():
    arrivals = poisson_arrivals(100.0, seconds=3.0, seed=1)
    assert (np.diff(arrivals) >= 0).all()
    assert 0 <= arrivals[0] <= arrivals[-1] < 3.0
    assert np.array_equal(arrivals, poisson_arrivals(100.0, seconds=3.0, seed=1))
    assert not np.array_equal(arrivals[:9], poisson_arrivals(100.0, seconds=3.0, seed=2)[:9])


def test_gaps_are_exponential_at_the_given_rate():
    gaps = np.diff(poisson_arrivals(50.0, seconds=2_000.0, seed=0))
    # the mean of n exponential gaps has a standard error of 1 / (50 * sqrt(n)); n is about 100,000
    assert gaps.mean() == pytest.approx(1 / 50, abs=4 / 50 / len(gaps) ** 0.5)
    # P(gap > 2 means) = exp(-2)
    share = (gaps > 2 / 50).mean()
    assert share == pytest.approx(np.exp(-2), abs=4 * (0.135 * 0.865 / len(gaps)) ** 0.5)


@pytest.mark.parametrize(("per_s", "seconds"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_no_rate_or_time_is_refused(per_s, seconds):
    with pytest.raises(InputError, match=f"must be positive, got {per_s} and {seconds}"):
        poisson_arrivals(per_s, seconds=seconds, seed=0)
