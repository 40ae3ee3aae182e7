"""Years come from titles, and a number is a place among what had been clicked of that year."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recbench.models.ranking.years import ItemYears
from recbench.tables.vocabulary import Vocabulary

ITEMS = Vocabulary([100, 200, 300, 400, 500, 600])
TITLES = [
    "Long announced (2013)",
    "Old (1994)",
    "2001: A Space Odyssey",  # ends without a year
    "Soon announced (2013)",
    "The last announced (of several) (2013) ",
    None,
]
CATALOGUE = pl.DataFrame({"item_id": ITEMS.ids, "title": TITLES})
AT = round(datetime(2013, 6, 1, tzinfo=UTC).timestamp() * 1e6)
EVERYTHING = np.ones(6, dtype=bool)


def named(facts):
    return dict(zip(ItemYears.NAMES, facts.T, strict=True))


@pytest.fixture(scope="module")
def years():
    return ItemYears.from_items(CATALOGUE, ITEMS)


def test_a_year_is_what_a_title_ends_with(years):
    assert years.years.tolist() == [2013, 1994, 0, 2013, 2013, 0]
    assert years.are_known


def test_an_item_is_new_in_its_calendar_year(years):
    assert years.is_new(AT).tolist() == [True, False, False, True, True, False]
    a_year_later = AT + 366 * 86_400_000_000
    assert not years.is_new(a_year_later).any()


def test_facts_worked_out_by_hand(years):
    found = named(years.facts(at=AT, clicked=EVERYTHING))
    assert found["years since it came out"] == pytest.approx([0, np.log(20), 0, 0, 0, 0])
    assert found["of this year"].tolist() == [1, 0, 0, 1, 1, 0]
    # of the three of 2013 none, one and two have a lower number
    shares = np.array([0, 1 / 3, 2 / 3])
    assert found["number in its year"][[0, 3, 4]] == pytest.approx(np.log(shares + 0.02))
    assert found["the same, this year"][[0, 3, 4]] == pytest.approx(shares)
    assert found["the same, this year"][1] == 0


def test_items_that_nobody_had_clicked_do_not_count_among_those_of_their_year(years):
    clicked = np.array([False, True, True, True, True, True])
    found = named(years.facts(at=AT, clicked=clicked))
    assert found["the same, this year"][[0, 3, 4]] == pytest.approx([0, 0, 1 / 2])


def test_a_catalogue_without_titles_tells_nothing():
    untold = ItemYears.from_items(CATALOGUE.drop("title"), ITEMS)
    assert not untold.are_known
    assert not untold.is_new(AT).any()
    assert not untold.facts(at=AT, clicked=EVERYTHING).any()
