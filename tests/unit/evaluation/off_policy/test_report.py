import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy import (
    Feedback,
    TargetPolicy,
    clipped_ips,
    compare,
    diagnose,
    direct_method,
    ips,
    snips,
)

LOGGING = np.array([0.7, 0.2, 0.1, 0.0])
MEANS = np.array([0.2, 0.4, 0.6, 0.9])


def a_log(n=5_000, seed=0):
    rng = np.random.default_rng(seed)
    actions = rng.choice(4, size=n, p=LOGGING)
    rewards = (rng.random(n) < MEANS[actions]).astype(float)
    return actions, Feedback.of_rounds(rewards, LOGGING[actions])


def policy(actions, chances, **known):
    return TargetPolicy.of_dense(np.tile(chances, (len(actions), 1)), actions, **known)


def test_supported_policies_get_numbers_and_a_paired_difference():
    actions, feedback = a_log()
    policies = {
        "now": policy(actions, LOGGING),
        "better": policy(actions, np.array([0.2, 0.4, 0.4, 0.0])),
    }
    found = compare(feedback, policies, {"snips": snips, "ips": ips}, baseline="now")
    rows = {(row["policy"], row["estimator"]): row for row in found.rows()}
    better = rows["better", "snips"]
    assert better["told"] == "yes"
    assert better["bootstrap_low"] < 0.44 < better["bootstrap_high"]  # .04 + .16 + .24
    assert better["difference_bootstrap_low"] > 0
    assert better["difference_bernstein_low"] < better["difference_bootstrap_low"]
    assert rows["now", "ips"]["value"] == pytest.approx(feedback.rewards.mean())
    assert rows["now", "ips"]["difference_value"] is None


@pytest.mark.parametrize("known", [{}, {"logging": True}])
def test_what_is_never_logged_cannot_be_told(known):
    actions, feedback = a_log()
    given = {"logging": np.tile(LOGGING, (len(actions), 1))} if known else {}
    new = policy(actions, np.array([0.4, 0.2, 0.1, 0.3]), **given)
    found = compare(
        feedback, {"now": policy(actions, LOGGING), "new": new}, {"ips": ips}, baseline="now"
    )
    verdict = found.verdicts[1]
    assert not verdict.can_tell
    assert verdict.difference is None
    assert "of its choices are never logged" in verdict.reasons[0]
    row = found.rows()[1]
    assert row["value"] is None
    assert row["told"].startswith("cannot tell: 3" if known else "cannot tell: ")


def test_propensities_that_are_too_small_are_found_by_the_mean_weight():
    actions, feedback = a_log()
    halved = Feedback.of_rounds(feedback.rewards, feedback.propensities / 2)
    found = compare(halved, {"now": policy(actions, LOGGING)}, {"ips": ips}, baseline="now")
    assert "mean weight is 2.000, not 1" in found.verdicts[0].reasons[0]


def test_few_rows_one_heavy_row_and_rewards_that_never_came_are_objections():
    actions, feedback = a_log(n=100)
    now = policy(actions, LOGGING)
    few = diagnose(feedback, now, missing_reward_frac=0.5)
    assert few.effective_rows == pytest.approx(100)
    reasons = (
        compare(feedback, {"now": now}, {"ips": ips}, baseline="now", missing_reward_frac=0.5)
        .verdicts[0]
        .reasons
    )
    assert reasons[0] == "100 rows are worth 100, below 200"
    assert reasons[-1] == "50.0% of the rewards never came"
    heavy = Feedback.of_rounds(np.zeros(1_000), np.append(np.ones(999), 1e-3))
    found = compare(
        heavy,
        {"same": TargetPolicy(propensities=np.append(np.full(999, 0.9), 0.2))},
        {"ips": ips},
        baseline="same",
    )
    assert "one row carries 18.2% of the weight" in "; ".join(found.verdicts[0].reasons)


def test_clipping_that_changes_the_policy_is_an_objection_and_the_model_alone_is_labelled():
    actions, feedback = a_log()
    other = policy(
        actions, np.array([0.1, 0.2, 0.7, 0.0]), expected=np.tile(MEANS, (len(actions), 1))
    )
    estimators = {"clipped-ips": lambda f, t: clipped_ips(f, t, clip=2.0), "dm": direct_method}
    clipped, model = compare(feedback, {"x": other}, estimators, baseline="x").verdicts
    assert "of the weight is lost by clipping" in clipped.reasons[0]
    assert model.estimate is not None
    assert model.estimate.lost_frac == 1.0


def test_nothing_in_common_cannot_be_told():
    _, feedback = a_log()
    never = TargetPolicy(propensities=np.zeros(len(feedback)))
    (verdict,) = compare(feedback, {"x": never}, {"snips": snips}, baseline="x").verdicts
    assert "nothing that was logged is what it would have shown" in verdict.reasons


def test_baseline_must_be_one_of_the_policies():
    actions, feedback = a_log()
    with pytest.raises(InputError, match=r"one of \['now'\], got 'then'"):
        compare(feedback, {"now": policy(actions, LOGGING)}, {"ips": ips}, baseline="then")
