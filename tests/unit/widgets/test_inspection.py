"""One entity's features at one instant, and what they are made of; worked out by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.features.batch import features_at
from recbench.features.definitions import (
    DecayedPopularity,
    LastValues,
    SinceLast,
    WindowFeature,
)
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.widgets.inspection import counting_events, seen_events, values_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLICKS = WindowFeature(
    name="clicks",
    entity="user_id",
    aggregation="count",
    value=None,
    window=10 * MINUTE,
    of="clicks",
)
WATCHED = WindowFeature(
    name="watched", entity="user_id", aggregation="mean", value="watch_ms", window=10 * MINUTE,
    unit="ms",
)  # fmt: skip
LAST = LastValues(name="last", entity="user_id", value="item_id", k=2)
SINCE = SinceLast(name="since", entity="user_id")
POPULAR = DecayedPopularity(name="popular", half_life=timedelta(hours=1))
FEATURES = (CLICKS, WATCHED, LAST, SINCE, POPULAR)


@pytest.fixture
def events():
    """User 1: clicks at 0, 5 and 10 minutes, shown without a click at 7; user 2: at 5."""
    return pl.DataFrame(
        {
            "user_id": [1, 1, 2, 1, 1],
            "item_id": [10, 20, 10, 30, 10],
            "ts": [NOON + minute * MINUTE for minute in (0, 5, 5, 7, 10)],
            "clicked": [True, True, True, False, True],
            "watch_ms": [1000, None, 500, 3000, 2000],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )


def minutes(rows):
    return [(ts - NOON) // MINUTE for ts in rows["ts"]]


def test_every_feature_of_the_user_is_told_as_of_just_before(events):
    table = values_at(events, FEATURES, entity="user_id", entity_id=1, at=NOON + 10 * MINUTE)
    assert table.drop("number").rows() == [
        ("clicks", "2", "", "the last 10 min", 2),
        ("watched", "2000", "ms", "the last 10 min", 3),
        ("last", "10, 20", "", "the last 2", 2),
        ("since", "300,000,000", "us", "the last one", 1),
    ]
    assert table["number"].to_list() == [2, 2000, None, 300_000_000]


def test_an_item_has_its_own_features(events):
    table = values_at(events, FEATURES, entity="item_id", entity_id=10, at=NOON + 65 * MINUTE)
    # clicked 65, 60 and 55 minutes ago
    by_hand = 2 ** -(65 / 60) + 2 ** -(60 / 60) + 2 ** -(55 / 60)
    assert table["number"].to_list() == [pytest.approx(by_hand)]
    assert table["looks at"].to_list() == ["all, halved every 1 h"]
    assert table["events"].to_list() == [3]


def test_an_entity_without_events_has_empty_values(events):
    table = values_at(events, FEATURES, entity="user_id", entity_id=99, at=NOON)
    assert table["value"].to_list() == ["0", "none", "", "none"]
    assert table["events"].to_list() == [0] * 4


@pytest.mark.parametrize(
    ("feature", "at", "expected"),
    [
        (CLICKS, 10, [0, 5]),  # the event of the instant itself does not count, its first does
        (CLICKS, 11, [5, 10]),
        (WATCHED, 10, [0, 5, 7]),
        (LAST, 60, [5, 10]),
        (SINCE, 8, [5]),
    ],
)
def test_a_feature_sees_its_window_and_nothing_of_the_instant_itself(events, feature, at, expected):
    assert minutes(seen_events(events, feature, entity_id=1, at=NOON + at * MINUTE)) == expected


def test_late_rows_count_nowhere(events):
    late = events.with_columns(watermark=pl.lit(NOON + 6 * MINUTE).cast(events.schema["ts"]))
    assert minutes(counting_events(late, CLICKS, entity_id=1)) == [10]


def test_the_events_seen_alone_give_the_same_values(tiny_events):
    user_id = tiny_events["user_id"][0]
    at = tiny_events["ts"][1500]
    own = [f for f in SHIPPED_FEATURES if f.entity == "user_id"]
    table = values_at(tiny_events, own, entity="user_id", entity_id=user_id, at=at)
    point = pl.DataFrame({"user_id": [user_id], "ts": [at]}, schema_overrides={"ts": at_type()})
    jumps = {"user_category_jumps_30m"}  # made of what came before the window, too
    for feature, told in zip(own, table.rows(named=True), strict=True):
        seen = seen_events(tiny_events, feature, entity_id=user_id, at=at)
        value = features_at(seen.lazy(), point.lazy(), [feature]).collect()[feature.name][0]
        if feature.name not in jumps and told["number"] is not None:
            assert told["number"] == value
        assert told["events"] == len(seen)


def at_type():
    return pl.Datetime("us", "UTC")


def test_long_lists_show_their_end(tiny_events):
    last = LastValues(name="last", entity="user_id", value="item_id", k=50)
    user_id = tiny_events["user_id"][0]
    at = tiny_events["ts"][-1]
    table = values_at(tiny_events, [last], entity="user_id", entity_id=user_id, at=at)
    seen = seen_events(tiny_events, last, entity_id=user_id, at=at)["item_id"].to_list()
    assert table["value"][0] == "… " + ", ".join(str(item) for item in seen[-8:])


@pytest.mark.parametrize(
    ("entity", "message"),
    [("category", "must be user_id or item_id, got 'category'"), ("item_id", "is a feature of a")],
)
def test_what_has_no_features_here_is_refused(events, entity, message):
    with pytest.raises(InputError, match=message):
        values_at(events, [CLICKS], entity=entity, entity_id=1, at=NOON)
