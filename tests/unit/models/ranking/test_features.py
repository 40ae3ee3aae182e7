"""Features of candidates: known before the cut, worked out by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.models.baselines import Popularity
from recbench.models.content import ItemContent
from recbench.models.ranking import RankingFeatures, Retrievers
from recbench.models.ranking.years import ItemYears
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

START = datetime(2026, 1, 1, tzinfo=UTC)
ITEMS = Vocabulary([10, 20, 30, 40])  # nobody clicks the last one
CATEGORIES = pl.DataFrame({"item_id": ITEMS.ids, "category": ["a", "a|b", "c", "b|c"]})
DAY_S = 86_400.0
CLICKS = [(1, 10, 0), (1, 20, 2), (2, 10, 3), (2, 30, 3), (1, 10, 3)]


def at(days):
    return round((START + timedelta(days=days)).timestamp() * 1e6)


def log_of(clicks):
    users, items, days = zip(*clicks, strict=True)
    ts = [START + timedelta(days=day) for day in days]
    return InteractionLog.from_events(
        pl.DataFrame({"user_id": users, "item_id": items, "ts": ts}), items=ITEMS
    )


def features_of(clicks, *, asked=1, cut=4, years=None):
    log = log_of(clicks)
    made = RankingFeatures.of(
        log,
        at=at(cut),
        half_lives_s=[DAY_S],
        category=ItemContent.from_items(CATEGORIES, ITEMS).category,
        retrievers=["popular"],
        years=years,
    )
    popular = Popularity.fit(log_of([click for click in clicks if click[2] < cut]))
    queries = log.queries(np.array([asked]), at(cut))
    candidates = Retrievers({"popular": popular}, n_each=3, repeats=True).candidates(queries)
    values = made(queries, candidates)
    assert values.shape == (1, 3, len(made.names))
    return {name: values[0, :, place] for place, name in enumerate(made.names)}


@pytest.fixture(scope="module")
def found():
    return features_of(CLICKS)


def test_popularity_is_decayed_and_relative_to_the_largest(found):
    # half-life 1 day, asked at day 4: item 10 has 2 ** -4 + 2 * 2 ** -1, 20 has 2 ** -2, 30 2 ** -1
    expected = np.log(np.array([1.0625, 0.25, 0.5]) + 0.01)
    assert found["popularity, 1 d, clicks"] == pytest.approx(expected)
    assert found["popularity, 1 d, share"] == pytest.approx(expected - expected.max(), abs=1e-6)


def test_popularity_is_told_within_the_list_too(found):
    # as above: 1.0625, .25 and .5, each and the floor, over the largest
    expected = np.array([1.0725, 0.26, 0.51]) / 1.0725
    assert found["popularity, 1 d, of list"] == pytest.approx(expected, rel=1e-5)
    assert found["popularity, 1 d, rank"] == pytest.approx(np.log1p([0, 2, 1]))


def test_ages_are_logarithms_of_hours(found):
    assert found["age"] == pytest.approx(np.log1p([96, 48, 24]))
    assert found["since last click"] == pytest.approx(np.log1p([24, 48, 24]))


def test_an_audience_is_told_by_its_experience(found):
    # logarithms of places: user 1 takes item 10, 20, 10 at 0, 1, 2; user 2 takes 10, 30 at 0, 1
    days = np.array([0, 2, 3, 3, 3])
    places = np.log1p([0, 1, 2, 0, 1])
    weights = 2.0 ** (-(4 - days) / 8)
    apart = weights * (places - np.average(places, weights=weights))
    of_10, of_20, of_30 = [0, 2, 3], [1], [4]
    expected = [apart[of].sum() / (weights[of].sum() + 1) for of in (of_10, of_20, of_30)]
    assert found["experience of who took it"] == pytest.approx(expected, abs=1e-6)


def test_years_are_told_where_the_catalogue_knows_them(found):
    assert not set(ItemYears.NAMES) & set(found)
    titles = CATEGORIES.with_columns(pl.Series("title", ["A (2026)", "B (2025)", "C (2026)", "D"]))
    told = features_of(CLICKS, years=ItemYears.from_items(titles, ITEMS))
    assert told["of this year"].tolist() == [1, 0, 1]
    assert set(found) == set(told) - set(ItemYears.NAMES)
    unknown = features_of(CLICKS, years=ItemYears.from_items(CATEGORIES, ITEMS))
    assert set(unknown) == set(found)


def test_the_users_past_with_an_item(found):
    # user 1 took item 10 at days 0 and 3, item 20 at day 2, item 30 never
    assert found["times taken"] == pytest.approx(np.log1p([2, 1, 0]))
    assert found["since taken"] == pytest.approx(np.log1p([24, 48, 24_000]))


def test_how_new_the_users_items_were(found):
    # item 10 was new at day 0 and 3 days old at day 3, item 20 was new
    assert found["age of items when taken"] == pytest.approx([np.log1p(3) / 3] * 3)
    assert found["history length"] == pytest.approx([np.log1p(3)] * 3)


def test_categories_match_what_was_taken_more_than_others_do(found):
    assert found["category"][0] > 0 > found["category"][2]
    # the last item is 10, of category a alone; 20 is of a and b
    assert found["category of last item"] == pytest.approx([1, 2**-0.5, 0])


def test_scores_come_with_share_and_rank(found):
    assert found["popular, score"].tolist() == [3, 1, 1]
    assert found["popular, share"] == pytest.approx([1, 1 / 3, 1 / 3])
    assert found["popular, rank"] == pytest.approx(np.log1p([0, 1, 2]))


def test_clicks_at_the_cut_or_later_change_nothing(found):
    later = features_of([*CLICKS, (1, 30, 4), (2, 20, 5), (3, 30, 6)])
    for name, values in found.items():
        assert np.array_equal(later[name], values), name


def test_somebody_unknown_has_features_too():
    values = features_of(CLICKS, asked=99)
    assert all(np.isfinite(each).all() for each in values.values())
    assert not values["times taken"].any()
