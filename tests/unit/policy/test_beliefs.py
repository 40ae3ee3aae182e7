import numpy as np
import pytest

from recbench.policy.belief import Relearning
from recbench.policy.beliefs import Beliefs

NAMES = ["first fit", "second fit", "third fit"]


def learnt(beliefs, *towers, reward=1.0):
    """One event each, whose features are the number of its fit and a one."""
    places = np.array(towers, dtype=np.int64)
    features = np.stack([places + 1.0, np.ones(len(places))], axis=1)
    beliefs.learn(NAMES, places, features, np.full(len(places), reward))
    return beliefs


def test_what_one_fit_taught_is_not_added_to_another():
    beliefs = learnt(Beliefs(2), 0, 1, 0, 1, 1)
    assert [(told["towers"], told["n_events"]) for told in beliefs.told()] == [
        ("first fit", 2),
        ("second fit", 3),
    ]
    assert beliefs.of("first fit").statistics.gram[0, 0] == 2 * 1
    assert beliefs.of("second fit").statistics.gram[0, 0] == 3 * 4


def test_the_latest_is_of_the_towers_that_came_last():
    assert learnt(Beliefs(2), 0, 1, 0).statistics.gram[0, 0] == 2 * 1
    beliefs = learnt(learnt(Beliefs(2), 0, 0), 1)
    assert beliefs.statistics.n_events == 1
    learnt(beliefs, 0)  # rolled back: what was known of these towers is known still
    assert beliefs.statistics.n_events == 3


def test_two_are_kept():
    beliefs = learnt(learnt(learnt(Beliefs(2), 0), 1), 2)
    assert [told["towers"] for told in beliefs.told()] == ["second fit", "third fit"]


def test_before_anything_is_learnt_there_is_nothing():
    beliefs = Beliefs(2)
    assert (beliefs.statistics.n_events, beliefs.told(), beliefs.arrays()) == (0, [], {})


@pytest.mark.parametrize("relearning", [None, Relearning(every=40, recent=100)])
def test_they_are_kept_and_taken_up_again(relearning):
    rng = np.random.default_rng(0)
    one, again = (Beliefs(3, relearning=relearning) for _ in range(2))
    features, rewards = rng.normal(size=(200, 3)), rng.random(200)
    towers = (np.arange(200) % 3 == 0).astype(np.int64)
    one.learn(NAMES, towers[:150], features[:150], rewards[:150])
    again.restore(one.told(), one.arrays())
    for beliefs in (one, again):
        beliefs.learn(NAMES, towers[150:], features[150:], rewards[150:])
    assert again.told() == one.told()
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
