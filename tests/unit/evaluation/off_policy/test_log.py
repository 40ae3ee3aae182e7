import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.off_policy import doubly_robust, ips
from recbench.evaluation.off_policy.log import logged_policy, read_exposures, target_policy
from recbench.evaluation.off_policy.reward import Reward
from recbench.evaluation.off_policy.slates import (
    SlateFeedback,
    cascade_doubly_robust,
    interaction_ips,
)

CLICK = Reward()


def exposures(**changed):
    columns = {
        "request_id": [1, 1, 2, 2, 3],
        "position": [0, 1, 0, 1, 0],
        "item_id": [7, 8, 7, 9, 8],
        "propensity": [None, 0.5, None, 0.25, 0.5],
        "clicked": [True, False, False, True, True],
    }
    return pl.DataFrame(columns | changed)


def distribution(**changed):
    columns = {
        "request_id": [1, 1, 2, 2, 3],
        "item_id": [8, 9, 8, 9, 8],
        "propensity": [0.25, 0.75, 0.5, 0.5, 1.0],
    }
    return pl.DataFrame(columns | changed)


def test_slots_that_rule_filled_are_left_out_and_said_so():
    log = read_exposures(exposures(), CLICK)
    assert log.slots["item_id"].to_list() == [8, 9, 8]
    assert log.feedback.rewards.tolist() == [0, 1, 1]
    assert log.n_by_rule == 2
    assert log.warnings() == [
        "2 slots were filled by rule and are left out: estimates speak of the 3 others"
    ]
    # weights .25 / .5, .5 / .25, 1 / .5
    target = target_policy(log, distribution(), name="new")
    assert ips(log.feedback, target).value == pytest.approx((0 + 2 + 2) / 3)
    assert ips(log.feedback, logged_policy(log)).value == pytest.approx(2 / 3)
    assert doubly_robust(log.feedback, logged_policy(log)).value == pytest.approx(2 / 3)


@pytest.mark.parametrize("bad", [0.0, 1.5, float("nan")])
def test_propensity_that_is_no_chance_is_refused_by_request(bad):
    frame = exposures(propensity=[None, 0.5, None, bad, 0.5])
    with pytest.raises(InputError, match=f"request 2, position 1 has {bad}"):
        read_exposures(frame, CLICK)


def test_log_without_chance_is_refused():
    with pytest.raises(InputError, match="None of 5 slots has a propensity"):
        read_exposures(exposures(propensity=pl.Series([None] * 5, dtype=pl.Float64)), CLICK)


def test_rewards_that_never_come_are_refused_or_counted():
    with pytest.raises(InputError, match="No reward came for any of 3 slots"):
        read_exposures(exposures(clicked=[True, False, True, False, False]), CLICK)
    log = read_exposures(exposures(clicked=[True, None, True, True, True]), CLICK)
    assert log.missing_reward_frac == pytest.approx(1 / 3)
    assert "1 rewards never came" in log.warnings()
    assert len(log.feedback) == 2


def test_certain_slots_are_flagged():
    log = read_exposures(exposures(propensity=[None, 1.0, None, 0.25, 0.5]), CLICK)
    assert log.n_certain == 1
    assert "1 slots have a propensity of 1: they tell of no other item" in log.warnings()


def test_slot_or_item_that_is_there_twice_is_refused():
    with pytest.raises(InputError, match="Request 2 has position 1 twice"):
        read_exposures(
            exposures(request_id=[1, 2, 2, 2, 3], propensity=[None, 0.5, None, 0.5, 0.5]), CLICK
        )
    with pytest.raises(InputError, match="Request 1 has item_id 7 twice"):
        read_exposures(exposures(item_id=[7, 7, 7, 9, 8], propensity=[0.5] * 5), CLICK)
    with pytest.raises(InputError, match="1 slots with a propensity lack a request_id"):
        read_exposures(exposures(request_id=[1, None, 2, 2, 3]), CLICK)
    with pytest.raises(InputError, match=r"need the columns \['position'\]"):
        read_exposures(exposures().drop("position"), CLICK)


def test_promise_of_the_logging_policy_is_held_against_it():
    with pytest.raises(InputError, match=r"promised propensities of 0.3 or more, but request 2"):
        read_exposures(exposures(), CLICK, least_propensity=0.3)
    assert read_exposures(exposures(), CLICK, least_propensity=0.1).feedback.largest_inverse == 10


def test_chances_of_a_policy_must_sum_to_one():
    log = read_exposures(exposures(), CLICK)
    wrong = distribution(propensity=[0.25, 0.5, 0.5, 0.5, 1.0])
    with pytest.raises(InputError, match="those of request 1 sum to 0.75, one of 1 such"):
        target_policy(log, wrong, name="new")
    assert len(target_policy(log, wrong, name="new", partial=True).propensities) == 3
    with pytest.raises(InputError, match="the chance -0.5 for item 9 of request 1"):
        target_policy(log, distribution(propensity=[1.5, -0.5, 0.5, 0.5, 1.0]), name="new")
    with pytest.raises(InputError, match="has item 8 of request 1 twice"):
        target_policy(log, distribution(item_id=[8, 8, 8, 9, 8]), name="new")


def test_policy_must_speak_of_every_slot():
    log = read_exposures(exposures(), CLICK)
    with pytest.raises(InputError, match="nothing of request 3, position 0, one of 1 such"):
        target_policy(log, distribution().head(4), name="new")
    with pytest.raises(InputError, match=r"needs the columns \['item_id'\]"):
        target_policy(log, distribution().drop("item_id"), name="new")


def test_several_slots_of_chance_need_positions_and_are_weighted_downwards():
    """As the estimators of lists have it, by slot."""
    rng = np.random.default_rng(0)
    n, k, items = 50, 3, 4
    shown = np.argsort(rng.random((n, items)), axis=1)[:, :k]
    rewards = (rng.random((n, k)) < 0.5).astype(float)
    logging = rng.uniform(0.2, 0.9, size=(n, k))
    target = rng.dirichlet(np.ones(items), size=(n, k))
    request, position = (a.ravel() for a in np.mgrid[:n, :k])
    frame = pl.DataFrame(
        {
            "request_id": request,
            "position": position,
            "item_id": shown.ravel(),
            "propensity": logging.ravel(),
            "clicked": rewards.ravel().astype(bool),
        }
    ).sample(fraction=1.0, shuffle=True, seed=1)
    request, position, item = (a.ravel() for a in np.mgrid[:n, :k, :items])
    whole = pl.DataFrame(
        {
            "request_id": request,
            "position": position,
            "item_id": item,
            "propensity": target.ravel(),
        }
    )
    log = read_exposures(frame, CLICK)
    with pytest.raises(InputError, match="chance filled up to 3 slots of a request"):
        target_policy(
            log, whole.filter(pl.col("position") == 0).drop("position"), name="new", partial=True
        )
    policy = target_policy(log, whole, name="new")
    own = np.take_along_axis(target, shown[:, :, None], axis=2)[:, :, 0]
    slates = SlateFeedback(
        rewards=rewards,
        logging_slot=logging,
        logging_cascade=logging.cumprod(axis=1),
        target_slot=own,
        target_cascade=own.cumprod(axis=1),
    )
    assert ips(log.feedback, policy).value == pytest.approx(interaction_ips(slates).value / k)
    assert policy.expected_logged is not None
    assert policy.expected is not None
    weights = (own / logging).cumprod(axis=1)
    above = np.concatenate([np.ones((n, 1)), weights[:, :-1]], axis=1)
    doubly = cascade_doubly_robust(
        slates,
        expected_logged=policy.expected_logged.reshape(n, k),
        expected=policy.expected.reshape(n, k) / above,
    )
    assert doubly_robust(log.feedback, policy).value == pytest.approx(doubly.value / k)


def test_reward_model_knows_good_items_and_positions():
    rng = np.random.default_rng(0)
    n = 4_000
    item, position = rng.integers(0, 2, n), rng.integers(0, 2, n)
    means = np.array([[0.4, 0.1], [0.8, 0.2]])  # item, position
    frame = pl.DataFrame(
        {
            "request_id": np.arange(n),
            "position": position,
            "item_id": item,
            "propensity": np.full(n, 0.5),
            "clicked": rng.random(n) < means[item, position],
        }
    )
    log = read_exposures(frame, CLICK)
    sure = pl.DataFrame(
        {"request_id": np.arange(n), "item_id": np.ones(n, dtype=int), "propensity": np.ones(n)}
    )
    policy = target_policy(log, sure, name="item 1")
    assert policy.expected_logged is not None
    assert policy.expected is not None
    # a quarter of the rows each, half of them in the other fold: 4 * sqrt(.25 / 500) = .09
    assert policy.expected_logged == pytest.approx(means[item, position], abs=0.09)
    assert policy.expected == pytest.approx(means[1, position], abs=0.09)
