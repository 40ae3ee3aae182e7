from itertools import permutations

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy.slates import (
    SlateFeedback,
    cascade_doubly_robust,
    independent_ips,
    interaction_ips,
    standard_ips,
)


def a_list(**changed):
    columns = {
        "rewards": np.array([[1.0, 0.0], [0.0, 1.0]]),
        "logging_slot": np.array([[0.5, 0.25], [0.5, 0.5]]),
        "logging_cascade": np.array([[0.5, 0.1], [0.5, 0.2]]),
        "target_slot": np.array([[0.25, 0.5], [1.0, 0.5]]),
        "target_cascade": np.array([[0.25, 0.2], [1.0, 0.4]]),
    }
    return SlateFeedback(**(columns | changed))


def test_estimates_of_lists_by_hand():
    # weights by list 2, 2; by slot .5, 2 and 2, 1; by what is above .5, 2 and 2, 2
    assert standard_ips(a_list()).value == pytest.approx((2 + 2) / 2)
    assert independent_ips(a_list()).value == pytest.approx((0.5 + 1) / 2)
    assert interaction_ips(a_list()).value == pytest.approx((0.5 + 2) / 2)
    nothing = np.zeros((2, 2))
    half = np.full((2, 2), 0.5)
    plain = cascade_doubly_robust(a_list(), expected_logged=nothing, expected=nothing)
    assert plain.value == pytest.approx(1.25)
    # -.5 * (.5 + 2 + 2 + 2) + .5 * (1 + .5 + 1 + 2) on top of 2.5
    told = cascade_doubly_robust(a_list(), expected_logged=half, expected=half)
    assert told.value == pytest.approx((2.5 - 3.25 + 2.25) / 2)


def test_chances_that_are_none_and_cascades_that_rise_are_refused():
    with pytest.raises(InputError, match="list 0, slot 1 has 0.0"):
        a_list(logging_slot=np.array([[0.5, 0.0], [0.5, 0.5]]))
    with pytest.raises(InputError, match="`target_cascade` must not rise along a list, but list 1"):
        a_list(target_cascade=np.array([[0.25, 0.2], [0.4, 0.5]]))
    with pytest.raises(InputError, match=r"`target_slot` must have shape \(2, 2\), got \(2, 1\)"):
        a_list(target_slot=np.ones((2, 1)))
    with pytest.raises(InputError, match=r"got \(0, 2\)"):
        a_list(rewards=np.ones((0, 2)))


def test_expectation_over_all_lists_is_the_truth():
    """Lists of two of three items; the reward of slot two depends on slot one."""
    lists = list(permutations(range(3), 2))
    rng = np.random.default_rng(3)
    logging, target = (rng.dirichlet(np.ones(len(lists))) for _ in range(2))
    reward = {one: rng.random(2) for one in lists}
    for one in lists:  # the first slot's depends on its item alone
        reward[one][0] = one[0] / 3
    truth = sum(p * reward[one].sum() for p, one in zip(target, lists, strict=True))

    def slates_of(which):
        def chance(policy, fits):
            return sum(p for p, other in zip(policy, lists, strict=True) if fits(other))

        one = lists[which]
        first, second = (lambda o: o[0] == one[0]), (lambda o: o[1] == one[1])
        columns = {
            f"{name}_{kind}": np.array([values])
            for name, policy in (("logging", logging), ("target", target))
            for kind, values in (
                ("slot", [chance(policy, first), chance(policy, second)]),
                ("cascade", [chance(policy, first), policy[which]]),
            )
        }
        return SlateFeedback(rewards=reward[one][None, :], **columns)

    def expectation(estimate):
        values = [estimate(slates_of(which)).value for which in range(len(lists))]
        return float(logging @ values)

    assert expectation(standard_ips) == pytest.approx(truth)
    assert expectation(interaction_ips) == pytest.approx(truth)
    assert abs(expectation(independent_ips) - truth) > 1e-3  # its assumption does not hold
