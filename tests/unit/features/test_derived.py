"""Category jumps, worked out by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import SchemaError
from recbench.features.batch import features_at, window_features
from recbench.features.definitions import LastValues, WindowFeature
from recbench.features.derived import columns_of, derived_values, with_derived

START = datetime(2026, 1, 1, tzinfo=UTC)
JUMPS = WindowFeature(
    name="jumps",
    entity="user_id",
    aggregation="sum",
    value="category_jump",
    window=timedelta(minutes=1),
    of="clicks",
)


def instants(*seconds):
    times = [START + timedelta(seconds=second) for second in seconds]
    return pl.Series(times, dtype=pl.Datetime("us", "UTC"))


def clicks(categories, *, users=None, seconds=None, **columns):
    n_rows = len(categories)
    return pl.LazyFrame(
        {
            "user_id": users or [1] * n_rows,
            "ts": instants(*(seconds or range(n_rows))),
            "clicked": [True] * n_rows,
            "category": pl.Series(categories, dtype=pl.String),
        }
        | columns
    )


def jumps(events):
    return with_derived(events, [JUMPS]).collect()["category_jump"].to_list()


def test_a_jump_is_a_click_that_shares_no_category_with_the_one_before():
    # A to A|B shares A, A|B to C none, C to "B|C" shares C, B|C to A none
    assert jumps(clicks(["A", "A|B", "C", "B|C", "A"])) == [0, 0, 1, 0, 1]


def test_an_unknown_category_is_no_jump_on_either_side():
    assert jumps(clicks(["A", None, "B", "C"])) == [0, 0, 0, 1]


def test_rows_that_are_no_clicks_neither_make_nor_break_a_jump():
    # the row of category A at second 1 was shown only: from B to B there is no jump
    events = clicks(["B", "A", "B", "C"], clicked=[True, False, True, None])
    assert jumps(events) == [0, None, 0, None]


def test_late_rows_neither_make_nor_break_a_jump():
    # the late click on A, at second 1, would be a jump from B and break that from B to C
    late = instants(0, 2, 0, 0)
    assert jumps(clicks(["B", "A", "B", "C"], watermark=late)) == [0, None, 0, 1]


def test_users_have_jumps_of_their_own_and_clicks_without_user_none():
    users = [1, 2, 1, 2, None, None]
    assert jumps(clicks(["A", "B", "A", "C", "D", "E"], users=users)) == [0, 0, 0, 1, 0, 0]


def test_clicks_of_one_instant_follow_each_other_as_they_came():
    # by time: B at 0, then C and C|D at 1; C shares with C|D but not with B
    assert jumps(clicks(["C", "C|D", "B"], seconds=[1, 1, 0])) == [1, 0, 0]


def test_more_categories_than_a_word_has_bits():
    # 200 categories of their own, each twice in a row
    categories = [f"category {number // 2}" for number in range(400)]
    assert jumps(clicks(categories)) == [0] + [0 if n % 2 else 1 for n in range(1, 400)]


@pytest.mark.parametrize("categories", [["A", "B"], [None, None], []])
def test_a_log_without_categories_or_rows_has_no_jumps(categories):
    events = clicks(categories)
    assert jumps(events.drop("category")) == [0] * len(categories)
    assert jumps(events.with_columns(category=pl.lit(None, pl.String))) == [0] * len(categories)


def test_without_clicked_every_row_is_a_click():
    assert jumps(clicks(["A", "B"]).drop("clicked")) == [0, 1]


def test_points_make_no_jumps():
    events = clicks(["A", "B"])
    points = pl.LazyFrame({"user_id": [1, 1], "ts": instants(1, 2), "category": ["C", "C"]})
    # at second 1 there is the first click only; at second 2 the jump from A to B, too
    assert features_at(events, points, [JUMPS]).collect()["jumps"].to_list() == [0, 1]


def test_jumps_count_for_other_entities():
    # jumps to B in second 1 and to A in second 2; category A at second 3 has one before it
    of_category = WindowFeature(
        name="jumps_to",
        entity="category",
        aggregation="sum",
        value="category_jump",
        window=timedelta(minutes=1),
    )
    events = clicks(["A", "B", "A", "A"])
    assert window_features(events, [of_category]).collect()["jumps_to"].to_list() == [0, 0, 0, 1]


def test_a_column_that_is_there_is_taken_as_it_stands():
    events = clicks(["A", "A", "A"], category_jump=[7, 1, 0])
    assert jumps(events) == [7, 1, 0]
    assert window_features(events, [JUMPS]).collect()["jumps"].to_list() == [0, 7, 8]


def test_jumps_need_users():
    of_item = WindowFeature(
        name="x",
        entity="item_id",
        aggregation="sum",
        value="category_jump",
        window=timedelta(minutes=1),
    )
    events = clicks(["A"]).rename({"user_id": "item_id"})
    with pytest.raises(SchemaError, match=r"`category_jump` needs \['user_id'\]"):
        window_features(events, [of_item])


def test_features_without_derived_values_leave_the_events_as_they_are():
    items = LastValues(name="x", entity="user_id", value="item_id", k=1)
    events = clicks(["A"])
    assert with_derived(events, [items]) is events
    assert derived_values([items, JUMPS, JUMPS]) == ["category_jump"]


def test_the_columns_of_a_feature_are_those_that_are_held():
    held = ["event_id", "category", "user_id", "ts", "item_id"]
    assert columns_of([JUMPS], held) == ["ts", "user_id", "category"]
    assert columns_of([JUMPS], [*held, "category_jump"]) == ["ts", "user_id", "category_jump"]
    assert columns_of([], ["watermark", "ts", "clicked"]) == ["ts", "clicked", "watermark"]
