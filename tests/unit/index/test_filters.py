import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.index import CandidateFilters


@pytest.fixture
def filters():
    return CandidateFilters.of(pl.Series(["drama|war", "comedy", None, "war", "drama|drama"]))


def test_an_item_is_of_each_of_its_categories(filters):
    assert filters.allowed(["drama"]).tolist() == [True, False, False, False, True]
    assert filters.allowed(["war"]).tolist() == [True, False, False, True, False]
    assert filters.allowed(["war", "comedy"]).tolist() == [True, True, False, True, False]


def test_no_filter_is_no_mask(filters):
    assert filters.allowed() is None


def test_no_category_at_all_allows_nothing(filters):
    assert not filters.allowed([]).any()


def test_what_is_closed_is_closed_in_every_category_until_it_opens(filters):
    out_of_stock = filters.closing(np.array([0, 1]))
    assert out_of_stock.allowed().tolist() == [False, False, True, True, True]
    assert out_of_stock.allowed(["war"]).tolist() == [False, False, False, True, False]
    assert out_of_stock.closing(np.array([0, 1]), closed=False).allowed() is None
    assert filters.allowed() is None  # as it was


def test_a_request_can_block_items(filters):
    assert filters.allowed(blocked=[2]).tolist() == [True, True, False, True, True]
    assert filters.allowed(["drama"], blocked=[0]).tolist() == [False] * 4 + [True]


def test_a_category_that_no_item_has_is_refused(filters):
    with pytest.raises(InputError, match=r"category 'west'; there are 3, such as \['comedy'"):
        filters.allowed(["west"])


def test_a_catalogue_without_categories_has_none():
    assert CandidateFilters.of(pl.Series([None, None])).by_category == {}
