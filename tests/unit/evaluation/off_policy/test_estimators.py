import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy import (
    Feedback,
    TargetPolicy,
    clipped_ips,
    direct_method,
    doubly_robust,
    ips,
    replay,
    shrunk_doubly_robust,
    snips,
    switch_doubly_robust,
)

# weights: .8 / .2 = 4, .1 / .5 = .2, .4 / .4 = 1, 0
FEEDBACK = Feedback.of_rounds(np.array([1.0, 1.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.4, 0.1]))
TARGET = TargetPolicy(
    propensities=np.array([0.8, 0.1, 0.4, 0.0]),
    expected_logged=np.array([0.5, 0.5, 0.2, 0.1]),
    expected=np.array([0.4, 0.3, 0.2, 0.1]),
)


def test_weighted_estimates_by_hand():
    assert ips(FEEDBACK, TARGET).value == pytest.approx(4.2 / 4)
    assert snips(FEEDBACK, TARGET).value == pytest.approx(4.2 / 5.2)
    clipped = clipped_ips(FEEDBACK, TARGET, clip=2)
    assert clipped.value == pytest.approx(2.2 / 4)
    assert clipped.lost_frac == pytest.approx(1 - 3.2 / 5.2)


def test_estimates_with_a_reward_model_by_hand():
    assert direct_method(FEEDBACK, TARGET).value == pytest.approx(1.0 / 4)
    # corrections: 4 * .5 = 2, .2 * .5 = .1, 1 * -.2, 0
    assert doubly_robust(FEEDBACK, TARGET).value == pytest.approx((1.0 + 1.9) / 4)
    assert doubly_robust(FEEDBACK, TARGET, clip=2).value == pytest.approx((1.0 + 0.9) / 4)
    assert switch_doubly_robust(FEEDBACK, TARGET, switch=2).value == pytest.approx((1 - 0.1) / 4)
    # s = 4: 16 / 20 = .8, .8 / 4.04, 4 / 5 = .8
    shrunk = 0.8 * 0.5 + 0.8 / 4.04 * 0.5 - 0.8 * 0.2
    assert shrunk_doubly_robust(FEEDBACK, TARGET, shrinkage=4).value == pytest.approx(
        (1.0 + shrunk) / 4
    )


def test_limits_of_taming_are_the_plain_estimators():
    dr, dm = doubly_robust(FEEDBACK, TARGET).value, direct_method(FEEDBACK, TARGET).value
    assert shrunk_doubly_robust(FEEDBACK, TARGET, shrinkage=np.inf).value == pytest.approx(dr)
    assert shrunk_doubly_robust(FEEDBACK, TARGET, shrinkage=0).value == pytest.approx(dm)
    assert switch_doubly_robust(FEEDBACK, TARGET, switch=np.inf).value == pytest.approx(dr)
    assert switch_doubly_robust(FEEDBACK, TARGET, switch=0).value == pytest.approx(dm)


def test_replay_is_the_mean_of_matches_and_wants_a_uniform_log():
    uniform = Feedback.of_rounds(np.array([1.0, 0.0, 1.0]), np.full(3, 0.25))
    sure = TargetPolicy(propensities=np.array([1.0, 1.0, 0.0]))
    assert replay(uniform, sure).value == 0.5
    with pytest.raises(InputError, match=r"span 0.1 to 0.5: use `snips`"):
        replay(FEEDBACK, TARGET)


def test_no_match_is_no_number():
    never = TargetPolicy(propensities=np.zeros(4))
    assert np.isnan(snips(FEEDBACK, never).value)


def test_policy_of_another_log_is_refused():
    with pytest.raises(InputError, match="has 2 decisions, the log 4"):
        ips(FEEDBACK, TargetPolicy(propensities=np.ones(2)))


def test_dials_without_meaning_are_refused():
    with pytest.raises(InputError, match="`clip` must be positive, got 0"):
        clipped_ips(FEEDBACK, TARGET, clip=0)
    with pytest.raises(InputError, match="`shrinkage` must not be negative, got -1"):
        shrunk_doubly_robust(FEEDBACK, TARGET, shrinkage=-1)
    with pytest.raises(InputError, match="needs a reward model"):
        doubly_robust(FEEDBACK, TargetPolicy(propensities=np.ones(4)))


def test_every_estimator_finds_the_truth_of_a_small_world():
    rng = np.random.default_rng(0)
    n, chances = 200_000, np.array([0.6, 0.3, 0.1])
    means, wanted = np.array([0.2, 0.5, 0.7]), np.array([0.1, 0.3, 0.6])
    actions = rng.choice(3, size=n, p=chances)
    rewards = (rng.random(n) < means[actions]).astype(float)
    feedback = Feedback.of_rounds(rewards, chances[actions])
    target = TargetPolicy.of_dense(
        np.tile(wanted, (n, 1)), actions, expected=np.tile(means + 0.1, (n, 1))
    )
    truth = float(wanted @ means)
    # Var(w r) <= E w^2 = sum p_e^2 / p_b = 3.92; four standard errors: 4 * sqrt(3.92 / n) = .0177
    for estimate in (ips, snips, doubly_robust):
        assert estimate(feedback, target).value == pytest.approx(truth, abs=0.0177)
    assert direct_method(feedback, target).value == pytest.approx(truth + 0.1)
