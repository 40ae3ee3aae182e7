"""Who is trained on again, and who is held back."""

import numpy as np
import pytest

from recbench.refresh.held_back import N_PARTS, is_held_back
from recbench.refresh.replay import Exemplars, choose_exemplars

N = 4_000


def pool(at, items):
    return Exemplars(np.arange(N), np.broadcast_to(at, N), np.broadcast_to(items, N))


def choose(held, *, n=400, half_life_us=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return choose_exemplars(held, n=n, half_life_us=half_life_us, rng=rng)


def test_as_many_as_asked_for_and_nobody_twice():
    chosen = choose(pool(0, 7))
    assert len(chosen.at) == len(np.unique(chosen.user_ids)) == 400


def test_a_small_pool_is_taken_whole():
    held = pool(0, 7)
    assert choose(held, n=N) is held


def test_a_half_life_halves_the_chance():
    at = np.repeat([0, 1], N // 2)
    drawn = np.concatenate([choose(pool(at, 7), n=40, seed=seed).at for seed in range(100)])
    assert np.mean(drawn == 1) == pytest.approx(2 / 3, abs=0.03)


def test_items_are_covered_by_the_square_root_of_their_share():
    items = np.where(np.arange(N) < N * 16 // 17, 1, 2)  # 16 to 1
    drawn = [choose(pool(0, items), n=40, seed=seed).item_ids for seed in range(100)]
    assert np.mean(np.concatenate(drawn) == 2) == pytest.approx(1 / 5, abs=0.03)


def test_one_seed_chooses_the_same():
    held = pool(0, np.arange(N) % 9)
    np.testing.assert_array_equal(choose(held).user_ids, choose(held).user_ids)


def test_everybody_is_held_back_once_in_ten_refreshes():
    users = np.arange(5_000)
    times = sum(is_held_back(users, number=number).astype(int) for number in range(N_PARTS))
    np.testing.assert_array_equal(times, 1)
    share = is_held_back(users, number=3).mean()
    assert share == pytest.approx(1 / N_PARTS, abs=0.02)


def test_a_user_is_held_back_again_after_ten_refreshes():
    users = np.arange(100)
    np.testing.assert_array_equal(
        is_held_back(users, number=2), is_held_back(users, number=2 + N_PARTS)
    )
