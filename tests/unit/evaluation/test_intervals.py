"""Bootstrap intervals against the standard error of a mean."""

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.intervals import Interval, bootstrap_mean, bootstrap_means


def test_the_interval_is_the_mean_plus_and_minus_two_standard_errors():
    values = np.random.default_rng(0).normal(0.3, 0.2, size=2_000)
    interval = bootstrap_mean(values, seed=1)
    error = values.std(ddof=1) / np.sqrt(2_000)
    assert interval.value == pytest.approx(values.mean())
    assert interval.n_users == 2_000
    # a 2.5 % quantile of 2,000 resamples has itself a standard error of
    # sqrt(.025 * .975 / 2000) / density(1.96) = .0035 / .0584 = .06 errors; allow four of them
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.24 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.24 * error)


@pytest.mark.parametrize("cells", [1, 70, 10**6])
def test_bounds_equal_a_loop_over_resamples_whatever_the_block(monkeypatch, cells):
    monkeypatch.setattr("recbench.evaluation.intervals.CELLS_AT_ONCE", cells)
    values = np.random.default_rng(0).random((30, 2))
    rng = np.random.default_rng(4)
    means = [values[rng.integers(0, 30, size=30)].mean(axis=0) for _ in range(200)]
    bounds = np.quantile(means, [0.025, 0.975], axis=0).T
    intervals = bootstrap_means(values, seed=4, resamples=200)
    assert [interval.value for interval in intervals] == pytest.approx(values.mean(axis=0))
    np.testing.assert_allclose([[i.low, i.high] for i in intervals], bounds, rtol=1e-12)


def test_the_seed_decides():
    values = np.arange(20.0)
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)


@pytest.mark.parametrize(("values", "resamples"), [([0.5], 2_000), ([0.25, 0.75], 0)])
def test_one_user_or_no_resamples_give_bounds_equal_to_the_mean(values, resamples):
    interval = bootstrap_mean(np.array(values), resamples=resamples)
    assert interval == Interval(0.5, 0.5, 0.5, len(values))


def test_an_interval_reads_as_in_a_table():
    assert str(Interval(0.12345, 0.1, 0.2, 3)) == "0.1235 [0.1000, 0.2000]"


def test_a_mean_over_nobody_is_refused():
    with pytest.raises(InputError, match="0 users"):
        bootstrap_mean(np.array([]))
