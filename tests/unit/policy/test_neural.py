import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.neural import learn_network, statistics_of
from recbench.policy.statistics import LinearStatistics, Posterior


def bent(n, seed):
    """Rewards that no linear map tells: whether two features have the same sign."""
    rng = np.random.default_rng(seed)
    features = np.concatenate([rng.normal(size=(n, 3)), np.full((n, 1), 7.0)], axis=1)
    return features, (features[:, 0] * features[:, 1] > 0).astype(float)


def error_of(represent, train, test):
    statistics = LinearStatistics.zeros(represent(train[0]).shape[1])
    statistics.add(represent(train[0]), train[1])
    return float(np.square(Posterior.of(statistics).expected(represent(test[0])) - test[1]).mean())


def test_network_makes_what_is_bent_linear():
    train, test = bent(3_000, 0), bent(1_000, 1)
    network = learn_network(*train, steps=200)
    assert error_of(lambda x: x, train, test) > 0.24  # a coin's variance is .25
    assert error_of(network, train, test) < 0.1
    assert statistics_of(network, *train).n_events == 3_000
    assert network(test[0]).shape == (1_000, network.dim)


def test_same_seed_gives_the_same_network_and_leaves_torch_alone():
    import torch

    train = bent(100, 0)
    before = torch.get_rng_state()
    one, other = (learn_network(*train, steps=3, seed=5) for _ in range(2))
    assert np.array_equal(one(train[0]), other(train[0]))
    assert torch.equal(before, torch.get_rng_state())


def test_few_events_teach_no_network():
    with pytest.raises(InputError, match="needs 32 events or more, got 5"):
        learn_network(*bent(5, 0))


def test_feature_that_never_varied_is_left_out():
    """Such as rates of items before anything was shown: later they are not zero."""
    rng = np.random.default_rng(0)
    features = np.stack([rng.normal(size=400), np.full(400, 0.3)], axis=1)
    network = learn_network(features, (features[:, 0] > 0).astype(float))
    asked = np.array([[1.0, 0.3], [1.0, 7.0], [-1.0, 7.0]])
    hidden = network(asked)
    np.testing.assert_array_equal(hidden[0], hidden[1])
    expected = Posterior.of(statistics_of(network, features, features[:, 0] > 0)).expected(hidden)
    assert expected[1] > 0.5 > expected[2]
