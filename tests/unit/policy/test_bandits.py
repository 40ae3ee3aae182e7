import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.bandits import epsilon_list, scores_of
from recbench.policy.context import context_dim, tower_context
from recbench.policy.statistics import LinearStatistics, Posterior


def events(n=500, dim=4, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, dim))
    return features, features @ np.arange(1.0, dim + 1) + rng.normal(size=n)


def test_posterior_is_ridge_regression():
    features, rewards = events()
    statistics = LinearStatistics.zeros(4)
    statistics.add(features, rewards)
    posterior = Posterior.of(statistics, ridge=2.0)
    covariance = np.linalg.inv(features.T @ features + 2.0 * np.eye(4))
    assert posterior.mean == pytest.approx(covariance @ features.T @ rewards)
    assert posterior.root @ posterior.root.T == pytest.approx(covariance)
    asked = np.eye(4)
    assert posterior.expected(asked) == pytest.approx(posterior.mean)
    assert posterior.spread(asked) == pytest.approx(np.sqrt(np.diag(covariance)))


def test_events_one_by_one_in_batches_and_merged_are_the_same():
    features, rewards = events()
    at_once, one_by_one = LinearStatistics.zeros(4), LinearStatistics.zeros(4)
    at_once.add(features, rewards)
    for row in range(len(rewards)):
        one_by_one.add(features[row : row + 1], rewards[row : row + 1])
    halves = [LinearStatistics.zeros(4) for _ in range(2)]
    for half, part in zip(halves, (slice(0, 100), slice(100, None)), strict=True):
        half.add(features[part], rewards[part])
    merged = halves[1].merged(halves[0])
    for other in (one_by_one, merged):
        assert other.gram == pytest.approx(at_once.gram)
        assert other.moment == pytest.approx(at_once.moment)
        assert (other.n_events, other.reward_sum) == pytest.approx((500, rewards.sum()))


def test_past_that_is_forgotten_counts_less():
    features, rewards = events()
    statistics = LinearStatistics.zeros(4)
    statistics.add(features, rewards)
    before = statistics.gram.copy()
    statistics.forget(0.5)
    assert statistics.gram == pytest.approx(before / 2)
    assert statistics.n_events == 250
    with pytest.raises(InputError, match=r"\[0, 1\], got 2"):
        statistics.forget(2)


def test_events_that_are_no_numbers_are_refused_and_change_nothing():
    statistics = LinearStatistics.zeros(2)
    with pytest.raises(InputError, match="One of 1 events"):
        statistics.add(np.array([[1.0, np.nan]]), np.array([1.0]))
    with pytest.raises(InputError, match=r"shape \(1, 2\), got \(1, 3\)"):
        statistics.add(np.ones((1, 3)), np.ones(1))
    with pytest.raises(InputError, match="Statistics of 2 and 3 features"):
        statistics.merged(LinearStatistics.zeros(3))
    with pytest.raises(InputError, match="`ridge` must be positive, got 0"):
        Posterior.of(statistics, ridge=0)
    assert statistics.n_events == 0


def test_rules_score_by_mean_bonus_and_draw():
    features, rewards = events()
    statistics = LinearStatistics.zeros(4)
    statistics.add(features, rewards)
    posterior, asked = Posterior.of(statistics), features[:7]
    mean = scores_of(posterior, asked, "greedy")
    bonus = scores_of(posterior, asked, "ucb", scale=2.0)
    assert bonus - mean == pytest.approx(2 * posterior.spread(asked))
    rng, n = np.random.default_rng(0), 4_000
    drawn = np.array(
        [scores_of(posterior, asked, "thompson", scale=2.0, rng=rng) for _ in range(n)]
    )
    spread = 2 * posterior.spread(asked)
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4.5 * spread / np.sqrt(n))
    # a standard deviation is known to 1 / sqrt(2 n)
    assert drawn.std(axis=0) == pytest.approx(spread, rel=4.5 / np.sqrt(2 * n))


def test_rules_that_are_none_are_refused():
    posterior = Posterior.of(LinearStatistics.zeros(2))
    with pytest.raises(InputError, match="got 'luck'"):
        scores_of(posterior, np.ones((1, 2)), "luck")
    with pytest.raises(InputError, match="give `rng`"):
        scores_of(posterior, np.ones((1, 2)), "thompson", scale=1.0)
    with pytest.raises(InputError, match="`scale` must not be negative, got -1"):
        scores_of(posterior, np.ones((1, 2)), "ucb", scale=-1)


def test_epsilon_lists_come_as_often_as_their_propensities_say():
    scores, rng, n = np.array([0.3, 0.9, 0.1, 0.5]), np.random.default_rng(0), 20_000
    counts, chance = {}, {}
    for _ in range(n):
        chosen = epsilon_list(scores, 2, epsilon=0.4, rng=rng)
        order = tuple(chosen.places.tolist())
        counts[order] = counts.get(order, 0) + 1
        chance[order] = float(np.prod(chosen.propensities))
    # best of four: .6 + .1; then best of three: .6 + .4 / 3
    assert chance[1, 3] == pytest.approx(0.7 * (0.6 + 0.4 / 3))
    assert len(counts) == 12
    assert sum(chance.values()) == pytest.approx(1)
    for order, count in counts.items():
        p = chance[order]
        assert abs(count / n - p) < 4.5 * np.sqrt(p * (1 - p) / n)


def test_lists_without_chance_or_of_too_many_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"`epsilon` must lie in \(0, 1\], got 0"):
        epsilon_list(np.ones(3), 1, epsilon=0, rng=rng)
    with pytest.raises(InputError, match=r"\[1, 3\], got 4"):
        epsilon_list(np.ones(3), 4, epsilon=0.1, rng=rng)


def test_tower_context_by_hand():
    found = tower_context(
        np.array([1.0, 2.0]), np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[9.0], [8.0]])
    )
    assert found.tolist() == [[1, 11, 3, 8, 9], [1, 2, 0, 2, 8]]
    assert found.shape[1] == context_dim(2, 1)
    with pytest.raises(InputError, match="has 3 dimensions and `candidates` 2"):
        tower_context(np.ones(3), np.ones((1, 2)))
    with pytest.raises(InputError, match="has 2 rows for 1 candidates"):
        tower_context(np.ones(2), np.ones((1, 2)), np.ones((2, 1)))
