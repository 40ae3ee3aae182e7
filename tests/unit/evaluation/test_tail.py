"""The long tail on ten items, by hand."""

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.evaluation.tail import (
    exposure_by_decile,
    popularity_deciles,
    tail_exposure,
    tail_recall,
    with_tail_share,
)
from recbench.tables.vocabulary import Vocabulary

ITEMS = Vocabulary(range(10))


@pytest.fixture
def deciles():
    """Item i has i clicks, so decile i + 1; 0 to 4 are the tail."""
    return popularity_deciles(
        pl.DataFrame({"item_id": [i for i in range(10) for _ in range(i)]}), ITEMS
    )


def lists(*items, user=1):
    ranks = range(1, len(items) + 1)
    frame = {"user_id": user, "item_id": items, "rank": ranks, "score": [-float(r) for r in ranks]}
    return pl.DataFrame(frame)


def test_the_least_clicked_tenth_is_the_first(deciles):
    assert dict(deciles.iter_rows()) == {item: item + 1 for item in range(10)}


def test_what_was_only_shown_is_no_click():
    past = pl.DataFrame({"item_id": [0, 0, 1], "clicked": [False, False, True]})
    assert popularity_deciles(past, Vocabulary([0, 1]))["item_id"].to_list() == [0, 1]


def test_exposure_is_a_share_of_all_places(deciles):
    shown = exposure_by_decile(pl.concat([lists(9, 8), lists(9, 0, user=2)]), deciles)
    assert dict(shown.filter(pl.col("exposure_frac") > 0).iter_rows()) == {
        1: 0.25,
        9: 0.25,
        10: 0.5,
    }
    assert len(shown) == 10


def test_tail_recall_looks_at_relevant_items_of_the_tail_only(deciles):
    # user 1 wants 0 and 1 of the tail and finds 0; 9 is of the head; user 2 wants nothing there
    relevant = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [0, 1, 9, 8]})
    found = tail_recall(lists(0, 9, 8), relevant, deciles)
    assert found.rows() == [(1, 0.5)]


def test_the_last_of_the_head_give_way_to_the_best_of_the_tail(deciles):
    # of the best four, 3 is of the tail; half of four is two, so 6 gives way to 1
    asked = lists(9, 3, 8, 6, 7, 1, 0)
    kept = with_tail_share(asked, deciles, share=0.5, k=4)
    assert kept["item_id"].to_list() == [9, 3, 8, 1]
    assert kept["rank"].to_list() == [1, 2, 3, 4]


def test_lists_with_enough_of_the_tail_stay_as_they_are(deciles):
    asked = pl.concat([lists(0, 1, 2, 9), lists(9, 0, 1, 8, user=2)])
    kept = with_tail_share(asked, deciles, share=0.5, k=3)
    assert kept.rows() == asked.filter(pl.col("rank") <= 3).rows()


def test_a_share_of_nothing_only_cuts(deciles):
    asked = lists(9, 8, 0)
    assert with_tail_share(asked, deciles, share=0.0, k=2)["item_id"].to_list() == [9, 8]


def test_a_list_without_a_tail_is_filled_from_its_head(deciles):
    kept = with_tail_share(lists(9, 8, 7, 0), deciles, share=1.0, k=3)
    assert kept["item_id"].to_list() == [9, 8, 0]


@pytest.mark.parametrize(("share", "k"), [(1.5, 3), (-0.1, 3), (0.5, 0)])
def test_impossible_shares_are_refused(deciles, share, k):
    with pytest.raises(InputError, match=rf"got {share} and {k}"):
        with_tail_share(lists(1), deciles, share=share, k=k)


def test_tail_exposure_is_a_share_of_each_list(deciles):
    found = tail_exposure(pl.concat([lists(9, 0, 4, 8), lists(9, 5, user=2)]), deciles)
    assert found.rows() == [(1, 0.5), (2, 0.0)]
