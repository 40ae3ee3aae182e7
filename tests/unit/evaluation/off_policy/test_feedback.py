import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy import Feedback, TargetPolicy

REWARDS = np.array([0.0, 1.0, 0.0])


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, np.nan])
def test_propensity_that_is_no_chance_is_refused_by_row(bad):
    with pytest.raises(InputError, match=f"row 1 has {bad}, one of 1 such rows"):
        Feedback.of_rounds(REWARDS, np.array([0.5, bad, 0.5]))


def test_rewards_that_are_unknown_or_outside_their_range_are_refused():
    chances = np.full(3, 0.5)
    with pytest.raises(InputError, match="row 2 has nan"):
        Feedback.of_rounds(np.array([0.0, 1.0, np.nan]), chances)
    with pytest.raises(InputError, match=r"\[0.0, 1.0\]; row 0 has 3.0"):
        Feedback.of_rounds(np.array([3.0, 1.0, 0.0]), chances)


def test_log_of_nothing_and_columns_of_another_length_are_refused():
    with pytest.raises(InputError, match="0 decisions"):
        Feedback.of_rounds(np.empty(0), np.empty(0))
    with pytest.raises(InputError, match=r"3 rewards, got shape \(2,\)"):
        Feedback.of_rounds(REWARDS, np.full(2, 0.5))


def test_propensity_below_what_was_declared_is_refused():
    with pytest.raises(InputError, match="must be 0.2 or more, as declared; row 2 has 0.1"):
        Feedback.of_rounds(REWARDS, np.array([0.5, 0.5, 0.1]), least_propensity=0.2)


def test_largest_inverse_is_the_declared_one_where_there_is_one():
    chances = np.array([0.5, 0.5, 0.25])
    assert Feedback.of_rounds(REWARDS, chances).largest_inverse == 4
    assert Feedback.of_rounds(REWARDS, chances, least_propensity=0.1).largest_inverse == 10


def test_distribution_that_does_not_sum_to_one_is_refused():
    wrong = np.array([[0.5, 0.5], [0.5, 0.6]])
    with pytest.raises(InputError, match="`distribution` must sum to 1; row 1 has 1.1"):
        TargetPolicy.of_dense(wrong, np.array([0, 1]))
    right = np.full((2, 2), 0.5)
    with pytest.raises(InputError, match="`logging` must sum to 1; row 1 has 1.1"):
        TargetPolicy.of_dense(right, np.array([0, 1]), logging=wrong)
    with pytest.raises(InputError, match="negative, got -0.5"):
        TargetPolicy.of_dense(np.array([[1.5, -0.5]]), np.array([0]))


def test_half_a_reward_model_is_refused():
    with pytest.raises(InputError, match="give both"):
        TargetPolicy(propensities=REWARDS, expected=REWARDS)
    with pytest.raises(InputError, match=r"`supported` must have shape \(3,\), got \(2,\)"):
        TargetPolicy(propensities=REWARDS, supported=np.ones(2))
    with pytest.raises(InputError, match=r"\[0, 1\]; row 0 has 2.0"):
        TargetPolicy(propensities=np.array([2.0, 0.5, 0.5]))


def test_dense_target_says_how_much_the_log_supports():
    target = TargetPolicy.of_dense(
        np.array([[0.2, 0.8], [1.0, 0.0]]),
        np.array([0, 0]),
        logging=np.array([[1.0, 0.0], [1.0, 0.0]]),
        expected=np.array([[1.0, 0.5], [0.25, 9.0]]),
    )
    assert target.supported is not None
    assert target.supported.tolist() == [0.2, 1.0]
    # .2 * 1 + .8 * .5 = .6 and 1 * .25
    assert target.expected == pytest.approx([0.6, 0.25])
