from itertools import permutations

import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.race import draw, mixed_weights, slot_chances

WEIGHTS = np.array([0.5, 0.2, 0.15, 0.1, 0.05])


def chance_of(weights, order):
    """Of a list, by hand: each weight over what is left."""
    left, product = weights.sum(), 1.0
    for place in order:
        product *= weights[place] / left
        left -= weights[place]
    return product


def test_chances_of_a_draw_multiply_to_that_of_the_list():
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = draw(WEIGHTS, 3, rng)
        assert np.prod(drawn.chances) == pytest.approx(chance_of(WEIGHTS, drawn.places))


def test_lists_come_as_often_as_their_joint_chance_says():
    rng, n = np.random.default_rng(1), 30_000
    counts = dict.fromkeys(permutations(range(5), 2), 0)
    for _ in range(n):
        counts[tuple(draw(WEIGHTS, 2, rng).places.tolist())] += 1
    for order, count in counts.items():
        chance = chance_of(WEIGHTS, order)
        # 20 lists, each within 4.5 standard errors
        assert abs(count / n - chance) < 4.5 * np.sqrt(chance * (1 - chance) / n), order


def test_slot_chances_are_sums_over_all_lists():
    for m in (1, 2, 3, 5):
        lists = list(permutations(range(5), m))
        for order in lists[:: max(1, len(lists) // 10)]:
            expected = [
                sum(chance_of(WEIGHTS, one) for one in lists if one[slot] == place)
                for slot, place in enumerate(order)
            ]
            found = slot_chances(WEIGHTS, np.array(order))
            assert found == pytest.approx(expected, abs=1e-9)


def test_slot_chances_hold_for_weights_that_span_eight_powers_of_ten():
    weights = np.array([1.0, 1e-2, 1e-4, 1e-6, 1e-8])
    lists = list(permutations(range(5), 3))
    for order in ((0, 1, 2), (4, 0, 1), (2, 4, 3)):
        expected = [
            sum(chance_of(weights, one) for one in lists if one[slot] == place)
            for slot, place in enumerate(order)
        ]
        assert slot_chances(weights, np.array(order)) == pytest.approx(expected, rel=1e-6)


def test_slot_chances_are_what_monte_carlo_finds():
    """A hundred items, four slots; every slot's chances over 40,000 draws."""
    rng, n, m = np.random.default_rng(2), 40_000, 4
    weights = mixed_weights(rng.normal(size=100), temperature=0.5, even=0.1)
    noisy = np.log(weights) + rng.gumbel(size=(n, 100))
    order = np.argsort(-noisy, axis=1)[:, :m]
    for place in np.argsort(-weights)[[0, 1, 5, 20, 60]]:
        for slot in range(m):
            others = [int(p) for p in np.argsort(-weights) if p != place][: m - 1]
            places = np.array([*others[:slot], place, *others[slot:]])
            chance = slot_chances(weights, places)[slot]
            found = float((order[:, slot] == place).mean())
            assert abs(found - chance) < 4.5 * np.sqrt(chance * (1 - chance) / n)


def test_mixed_weights_keep_their_floor_and_sum():
    weights = mixed_weights(np.array([0.0, 50.0, 100.0]), temperature=1.0, even=0.3)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() == pytest.approx(0.1)
    even = mixed_weights(np.array([1.0, 2.0]), temperature=np.inf, even=0.0)
    assert even.tolist() == [0.5, 0.5]


def test_dials_and_scores_that_mean_nothing_are_refused():
    scores = np.zeros(3)
    with pytest.raises(InputError, match="`temperature` must be positive, got 0"):
        mixed_weights(scores, temperature=0, even=0.1)
    with pytest.raises(InputError, match=r"`even` must lie in \[0, 1\], got 2"):
        mixed_weights(scores, temperature=1, even=2)
    with pytest.raises(InputError, match="Scores must be numbers, got nan"):
        mixed_weights(np.array([0.0, np.nan]), temperature=1, even=0.1)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"\[1, 5\], got 6"):
        draw(WEIGHTS, 6, rng)
    with pytest.raises(InputError, match="must be positive, got 0.0"):
        draw(np.array([0.0, 1.0]), 1, rng)
