import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.belief import Belief, Relearning
from recbench.policy.statistics import Posterior

RELEARNING = Relearning(every=64, recent=100)


def events(n, *, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    return features, (features[:, 0] > 0).astype(np.float64)


def test_without_a_network_sums_are_over_the_features():
    belief = Belief(3)
    features, rewards = events(50)
    belief.learn(features, rewards)
    assert belief.statistics.gram == pytest.approx(features.T @ features, rel=1e-5)
    assert belief.network is None


def test_network_is_learnt_anew_from_the_latest_events():
    belief = Belief(3, relearning=RELEARNING)
    features, rewards = events(130)
    belief.learn(features[:50], rewards[:50])
    assert belief.network is None
    belief.learn(features[50:100], rewards[50:100])
    assert belief.network is not None
    assert belief.statistics.n_events == 100
    belief.learn(features[100:], rewards[100:])  # into the sums of that network
    assert belief.statistics.n_events == 130
    posterior = Posterior.of(belief.statistics)
    good, bad = posterior.expected(belief.network(np.array([[2.0, 0, 0], [-2.0, 0, 0]])))
    assert good > bad


def test_belief_is_kept_and_taken_up_again():
    one, again = (Belief(3, relearning=RELEARNING) for _ in range(2))
    features, rewards = events(200)
    one.learn(features[:100], rewards[:100])
    sums = {"n_events": one.statistics.n_events, "reward_sum": one.statistics.reward_sum}
    again.restore(one.arrays(), **sums)
    for belief in (one, again):
        belief.learn(features[100:150], rewards[100:150])
        belief.learn(features[150:], rewards[150:])
    np.testing.assert_array_equal(again.statistics.gram, one.statistics.gram)
    assert again.network.dim == one.network.dim


def test_earlier_events_fade_where_they_are_to_be_forgotten():
    features, rewards = events(100)
    fading, whole = Belief(3, half_life=50.0), Belief(3)
    for belief in (fading, whole):
        belief.learn(features[:50], rewards[:50])
        belief.learn(features[50:], rewards[50:])
    assert whole.statistics.n_events == 100
    assert fading.statistics.n_events == 75  # the first fifty count half
    halves = [features[at : at + 50].T @ features[at : at + 50] for at in (0, 50)]
    assert fading.statistics.gram == pytest.approx(0.5 * halves[0] + halves[1], rel=1e-5)
    with pytest.raises(InputError, match="`half_life` must be positive, got 0"):
        Belief(3, half_life=0)


def test_network_of_nothing_is_refused():
    with pytest.raises(InputError, match="`every` must be at least 1, got 0"):
        Relearning(every=0)
    with pytest.raises(InputError, match="`recent` must be at least 32, got 9"):
        Relearning(recent=9)
