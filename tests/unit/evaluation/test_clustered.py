import numpy as np
import pytest

from recbench.errors import InputError
from recbench.evaluation.clustered import clustered_draws, clustered_means
from recbench.evaluation.shapley import shapley_weights


def test_the_mean_is_over_requests_and_the_draws_are_of_users():
    users, values = np.array([1, 1, 1, 2]), np.array([[1.0], [1.0], [1.0], [0.0]])

    drawn = clustered_draws(users, values, resamples=500)
    (mean,) = clustered_means(users, values)

    assert mean.value == 0.75
    assert mean.n_users == 2
    # both users, or one of them twice
    assert set(np.round(drawn.ravel(), 6)) == {0.0, 0.75, 1.0}


def test_columns_share_their_resamples():
    rng = np.random.default_rng(0)
    users, one = rng.integers(0, 50, 400), rng.random(400)

    (difference,) = clustered_means(users, (one + 0.5 - one)[:, None])
    drawn = clustered_draws(users, np.column_stack([one, one + 0.5]))

    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.5)
    assert difference.low == pytest.approx(difference.high)


def test_nothing_that_was_asked_has_no_mean():
    with pytest.raises(InputError, match="over 0 requests"):
        clustered_means(np.empty(0, dtype=np.int64), np.empty((0, 1)))


def test_shares_are_means_over_the_orders_of_change():
    from itertools import permutations

    values = np.random.default_rng(0).random(8)
    naive = np.zeros(3)
    for order in permutations(range(3)):
        made = 0
        for change in order:
            naive[change] += (values[made | 1 << change] - values[made]) / 6
            made |= 1 << change

    np.testing.assert_allclose(values @ shapley_weights(3), naive)
