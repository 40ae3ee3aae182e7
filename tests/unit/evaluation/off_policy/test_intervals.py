import math

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy import Feedback, TargetPolicy, bernstein, bootstrap, ips, snips
from recbench.evaluation.off_policy.intervals import bernstein_difference, bootstrap_differences


def a_log(n=4_000, seed=0, units=None):
    rng = np.random.default_rng(seed)
    chances = np.where(rng.random(n) < 0.5, 0.5, 0.25)
    rewards = (rng.random(n) < 0.3).astype(float)
    feedback = Feedback(
        rewards=rewards, propensities=chances, units=np.arange(n) if units is None else units
    )
    return feedback, [TargetPolicy(propensities=rng.random(n) * chances) for _ in range(2)]


def test_bernstein_bounds_by_formula():
    feedback, (target, _) = a_log()
    terms = ips(feedback, target)
    n, z = len(feedback), terms.numerators
    # theorem 4 of Maurer and Pontil on both sides, range of a term: 1 / .25 = 4
    log_term = math.log(4 / 0.05)
    half = math.sqrt(2 * z.var(ddof=1) * log_term / n) + 7 * 4 * log_term / (3 * (n - 1))
    bounds = bernstein(terms)
    assert bounds.low == pytest.approx(z.mean() - half)
    assert bounds.high == pytest.approx(z.mean() + half)


def test_bernstein_bounds_of_a_ratio_are_where_the_test_of_its_value_turns():
    feedback, (target, _) = a_log()
    terms = snips(feedback, target)
    log_term, n = math.log(4 / 0.05), len(feedback)
    slack = 7 * terms.width * log_term / (3 * (n - 1))

    def kept(value):
        z = terms.numerators - value * terms.denominators
        return abs(z.mean()) <= math.sqrt(2 * z.var(ddof=1) * log_term / n) + slack

    bounds = bernstein(terms)
    for edge, inward in ((bounds.low, 1e-6), (bounds.high, -1e-6)):
        assert kept(edge + inward)
        assert not kept(edge - inward)


def test_bootstrap_is_as_wide_as_the_standard_error_says():
    feedback, (target, _) = a_log()
    terms = ips(feedback, target)
    sigma = terms.numerators.std() / math.sqrt(len(feedback))
    (bounds,) = bootstrap([terms], resamples=2_000)
    # .151 standard errors of the mean at 10,000 resamples (tests/parity/test_obp.py), so .34 here
    assert bounds.high - terms.value == pytest.approx(1.96 * sigma, abs=0.34 * sigma)
    assert terms.value - bounds.low == pytest.approx(1.96 * sigma, abs=0.34 * sigma)


def test_rows_of_one_unit_are_one_observation():
    units = np.repeat(np.arange(400), 10)
    rewards = np.repeat((np.random.default_rng(0).random(400) < 0.3).astype(float), 10)
    target = TargetPolicy(propensities=np.full(4_000, 0.5))
    alone, together = (
        ips(Feedback(rewards=rewards, propensities=np.full(4_000, 0.5), units=u), target)
        for u in (np.arange(4_000), units)
    )
    narrow, wide = (bootstrap([terms])[0] for terms in (alone, together))
    assert narrow.value == wide.value
    # ten equal rows: sqrt(10) times as wide, each width known to about a tenth
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(3.16, rel=0.2)
    safe_narrow, safe_wide = bernstein(alone), bernstein(together)
    assert safe_wide.high - safe_wide.low > 3 * (safe_narrow.high - safe_narrow.low)


def test_difference_of_a_policy_to_itself_is_nothing():
    feedback, (target, _) = a_log()
    for estimate in (ips, snips):
        pair = (estimate(feedback, target), estimate(feedback, target))
        (bounds,) = bootstrap_differences([pair])
        assert (bounds.value, bounds.low, bounds.high) == (0, 0, 0)


def test_paired_difference_is_narrower_than_two_intervals():
    feedback, (target, _) = a_log()
    near = TargetPolicy(propensities=0.9 * target.propensities)
    first, second = ips(feedback, target), ips(feedback, near)
    (paired,) = bootstrap_differences([(first, second)])
    one, other = bootstrap([first, second])
    assert paired.high - paired.low < 0.2 * ((one.high - other.low) - (one.low - other.high))
    assert paired.low < first.value - second.value < paired.high


def test_bernstein_difference_is_direct_for_ips_and_wider_for_ratios():
    feedback, (one, other) = a_log()
    direct = bernstein_difference(ips(feedback, one), ips(feedback, other))
    by_two = bernstein_difference(snips(feedback, one), snips(feedback, other))
    assert direct.low < direct.value < direct.high
    assert by_two.low < by_two.value < by_two.high


def test_estimates_of_different_logs_are_not_compared():
    feedback, (target, _) = a_log()
    other, (theirs, _) = a_log(n=10)
    with pytest.raises(InputError, match="same rows of one log"):
        bootstrap([ips(feedback, target), ips(other, theirs)])
    with pytest.raises(InputError, match="same rows of one log"):
        bernstein_difference(ips(feedback, target), ips(other, theirs))


def test_few_units_leave_the_range_of_the_reward():
    feedback, (target, _) = a_log(n=1)
    assert (bernstein(snips(feedback, target)).low, bernstein(snips(feedback, target)).high) == (
        0.0,
        1.0,
    )
