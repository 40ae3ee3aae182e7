import numpy as np
import pytest

from recbench.errors import InputError
from recbench.policy.item_counts import ItemCounts

HALF_LIFE = 100


def ids(*values):
    return np.array(values, dtype=np.int64)


def test_showings_count_half_after_a_half_life():
    counts = ItemCounts(half_life_us=HALF_LIFE)
    counts.add(ids(7, 7, 9), np.array([1.0, 0.0, 0.0]), ids(0, 100, 100))
    # as of 100: item 7 was shown 1.5 times and earned .5, item 9 once; usual (.5 + 1) / (2.5 + 10)
    usual = 1.5 / 12.5
    rates = counts.rates(ids(9, 7, 8))
    assert rates[:, 0] == pytest.approx([(5 * usual) / 6, (0.5 + 5 * usual) / 6.5, usual])
    assert rates[:, 1] == pytest.approx(np.log1p([1.0, 1.5, 0.0]) / 5)


def test_sums_do_not_depend_on_when_showings_are_taken_in():
    rng = np.random.default_rng(0)
    items, rewards = rng.integers(0, 20, 500), rng.random(500)
    ts = np.sort(rng.integers(0, 30 * HALF_LIFE, 500))
    whole, parts = (ItemCounts(half_life_us=HALF_LIFE) for _ in range(2))
    whole.add(items, rewards, ts)
    for start in range(0, 500, 7):
        some = slice(start, start + 7)
        parts.add(items[some], rewards[some], ts[some])
    asked = np.arange(20)
    # items below a hundredth of a showing are forgotten
    np.testing.assert_allclose(parts.rates(asked), whole.rates(asked), atol=0.01)


def test_counts_are_kept_and_taken_up_again():
    counts, again = (ItemCounts(half_life_us=HALF_LIFE) for _ in range(2))
    assert counts.rates(ids(7)).tolist() == [[0.1, 0.0]]
    counts.add(ids(7, 3), np.array([1.0, 0.0]), ids(50, 60))
    again.restore(counts.arrays())
    for one in (counts, again):
        one.add(ids(3, 5), np.array([1.0, 1.0]), ids(70, 2_000))
    assert again.rates(ids(3, 5, 7)).tolist() == counts.rates(ids(3, 5, 7)).tolist()
    assert again.item_ids.tolist() == [3, 5]  # at 2,000 item 7 was long forgotten


def test_half_life_must_be_positive():
    with pytest.raises(InputError, match="`half_life_us` must be positive, got 0"):
        ItemCounts(half_life_us=0)
