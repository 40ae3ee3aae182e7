"""Coverage, novelty and concentration, worked by hand."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbench.evaluation.exposure import coverage, exposure_gini, novelty


def shown(*items):
    return pl.DataFrame({"item_id": items})


def test_coverage_is_the_share_of_the_catalogue_in_any_list():
    assert coverage(shown(1, 1, 2), n_items=8) == 0.25


def test_novelty_is_the_mean_surprise_in_bits():
    # 6 clicks and 2 items: shares (5 + 1) / 8 and (1 + 1) / 8, surprises .415 and 2 bits
    train = pl.DataFrame({"item_id": [1, 1, 1, 1, 1, 2]})
    assert novelty(shown(1), train, n_items=2) == pytest.approx(-math.log2(0.75))
    assert novelty(shown(2), train, n_items=2) == 2.0
    assert novelty(shown(1, 2), train, n_items=2) == pytest.approx(1 - math.log2(0.75) / 2)


def test_novelty_of_an_item_without_clicks_is_finite():
    assert novelty(shown(3), pl.DataFrame({"item_id": [1]}), n_items=3) == 2.0  # 1 / (1 + 3)


def test_gini_is_zero_when_all_are_shown_alike():
    assert exposure_gini(shown(1, 2, 3, 1, 2, 3), n_items=3) == 0.0


def test_gini_nears_one_when_one_item_takes_all():
    # counts 0, 0, 0, 4: (2 * 4 - 4 - 1) * 4 / (4 * 4) = 3 / 4
    assert exposure_gini(shown(9, 9, 9, 9), n_items=4) == 0.75


def test_gini_of_unequal_counts():
    # counts 1 and 3: ((2 - 3) * 1 + (4 - 3) * 3) / (2 * 4) = 1 / 4
    assert exposure_gini(shown(1, 2, 2, 2), n_items=2) == 0.25


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40))
def test_gini_is_half_the_mean_difference_over_the_mean(items):
    counts = [items.count(item) for item in range(9)]
    differences = sum(abs(one - other) for one in counts for other in counts)
    expected = differences / (2 * 9 * sum(counts))  # over 9 ** 2 pairs, and a mean of sum / 9
    assert exposure_gini(shown(*items), n_items=9) == pytest.approx(expected)
