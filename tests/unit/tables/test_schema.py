"""What fits is cast, bad rows are set aside with a reason, unusable columns are errors."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import SchemaError
from recbench.tables.schema import check_events, check_items

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# SplitMix64 over the source's name, then user, item, microseconds and ordinal, worked out with
# Python's own integers
PINNED = [-8712537240218991108, -3223751468828890130, 3700999130252989599]


def events(**columns):
    """Three good rows, with columns replaced or added."""
    good = {
        "user_id": [1, 1, 2],
        "item_id": [10, 11, 10],
        "ts": [NOW - 3 * DAY, NOW - 2 * DAY, NOW - DAY],
    }
    return pl.DataFrame(good | columns)


def checked(**columns):
    return check_events(events(**columns), source="log", now=NOW)


def test_good_rows_become_canonical():
    accepted = checked().accepted
    assert accepted.schema == {
        "event_id": pl.Int64,
        "user_id": pl.Int64,
        "item_id": pl.Int64,
        "ts": pl.Datetime("us", "UTC"),
        "arrival_ts": pl.Datetime("us", "UTC"),
        "clicked": pl.Boolean,
        "source_row": pl.Int64,
    }
    assert accepted["clicked"].to_list() == [True] * 3
    assert accepted["arrival_ts"].equals(accepted["ts"].alias("arrival_ts"))
    assert checked().reasons() == {}


def test_rows_are_ordered_by_time_and_ties_by_the_file():
    accepted = checked(ts=[NOW, NOW - DAY, NOW - DAY]).accepted
    assert accepted["source_row"].to_list() == [1, 2, 0]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"user_id": [1, None, 2]}, "user_id is null"),
        ({"item_id": [None, 11, 10]}, "item_id is null"),
        ({"ts": [NOW, None, NOW]}, "ts is null"),
        ({"user_id": ["1", "x7", "2"]}, "user_id is not an int64"),
        ({"item_id": [10, 2**63, 10]}, "item_id is not an int64"),
        ({"ts": ["2026-05-01T00:00:00Z", "soon", "2026-05-01T00:00:00Z"]}, "ts is not a time"),
        ({"ts": [NOW, NOW + 1.5 * DAY, NOW]}, "ts is in the future"),
        ({"ts": ["2026-05-01T00:00:00", "2026-05-01", "2026-05-02 00:00:00"]}, "ts is not a time"),
        ({"item_id": [10.0, 11.5, 12.0]}, "item_id is not an int64"),
        ({"item_id": [10.0, 1e19, 12.0]}, "item_id is not an int64"),
        ({"item_id": [10.0, float("nan"), 12.0]}, "item_id is not an int64"),
        ({"item_id": [10.0, None, 12.0]}, "item_id is null"),
        ({"item_id": [10.0, 2.0**53 + 2, 12.0]}, "item_id is not an int64"),
        ({"watch_ms": ["100", "long", None]}, "watch_ms is not an int64"),
        ({"position": [1, 40_000, None]}, "position is not an int16"),
        ({"clicked": [0, 2, 1]}, "clicked is not a boolean"),
        ({"clicked": [False, None, True]}, "clicked is null"),
        ({"arrival_ts": [None, "later", "2026-05-01T00:00:00Z"]}, "arrival_ts is not a time"),
        ({"event_id": [5, None, 6]}, "event_id is null"),
        ({"event_id": [5, 2**63, 6]}, "event_id is not an int64"),
        ({"event_id": [5, 6, 5]}, "event_id occurs twice"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_reason(columns, reason):
    result = checked(**columns)
    assert result.reasons() == {reason: 1}
    assert len(result.accepted) == 2
    assert len(result.rejected) == 1


def test_a_rejected_row_keeps_what_was_in_the_file():
    rejected = checked(user_id=["1", "x7", "2"]).rejected
    assert rejected.select("user_id", "item_id", "reason").rows() == [
        ("x7", 11, "user_id is not an int64")
    ]


def test_a_row_with_two_faults_has_the_first_reason():
    assert checked(user_id=[None, 1, 2], ts=[None, NOW, NOW]).reasons() == {"user_id is null": 1}


def test_a_bad_row_does_not_take_a_good_one_of_the_same_event_id_with_it():
    result = checked(event_id=[5, 5, 6], user_id=[None, 1, 2])
    assert result.reasons() == {"user_id is null": 1}
    assert result.accepted["event_id"].to_list() == [5, 6]


def test_a_row_without_a_user_does_not_take_user_zero_with_it():
    result = checked(user_id=[None, 0, 2], item_id=[10, 10, 11], ts=[NOW, NOW, NOW])
    assert result.reasons() == {"user_id is null": 1}


def test_a_day_of_clock_slack_is_allowed():
    assert checked(ts=[NOW, NOW + DAY, NOW]).reasons() == {}


@pytest.mark.parametrize("missing", ["user_id", "item_id", "ts"])
def test_a_missing_column_is_named(missing):
    frame = events().drop(missing)
    with pytest.raises(SchemaError, match=rf"log: column \['{missing}'\] missing; it has \["):
        check_events(frame, source="log", now=NOW)


def test_all_missing_columns_are_named_at_once():
    with pytest.raises(SchemaError, match=r"columns \['user_id', 'ts'\] missing"):
        check_events(pl.DataFrame({"item_id": [1]}), source="log", now=NOW)


def test_a_log_without_rows_is_refused():
    with pytest.raises(SchemaError, match="log: there are no rows"):
        check_events(events().head(0), source="log", now=NOW)


def test_a_log_without_one_usable_row_is_refused_with_the_counts():
    with pytest.raises(SchemaError, match=r"none of 3 rows can be used: \{'user_id is null': 3\}"):
        checked(user_id=pl.Series([None] * 3, dtype=pl.Int64))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [1.5, 2.5, 3.5]}, "no value of `user_id` .* Int64, the first is 1.5"),
        ({"user_id": [True, True, True]}, "`user_id` must be Int64, got Boolean; convert or"),
        ({"user_id": ["a", "b", "c"]}, r"no value of `user_id` .* Int64, the first is 'a'"),
        ({"item_id": [2**63] * 3}, "no value of `item_id` .* the first is 9223372036854775808"),
        ({"ts": [1, 2, 3]}, "`ts` must be a datetime, got Int64; .*pl.from_epoch"),
        (
            {"ts": [NOW.date()] * 3},
            r"`ts` must be a datetime, got Date; .*pl.Datetime\('us', 'UTC'\)",
        ),
        ({"ts": ["a", "b", "c"]}, "no value of `ts` .* the first is 'a'"),
        ({"clicked": ["yes", "no", "no"]}, "`clicked` must be Boolean, got String"),
        ({"propensity": ["a", "b", "c"]}, "`propensity` must be Float64, got String"),
        ({"category": [1, 2, 3]}, "`category` must be String, got Int64"),
        ({"source_row": ["a", "b", "c"]}, "no value of `source_row` can be read as Int64"),
    ],
)
def test_a_column_of_an_unusable_type_is_an_error(columns, message):
    with pytest.raises(SchemaError, match=message):
        checked(**columns)


def test_ids_beyond_int64_are_set_aside_as_they_came():
    result = checked(user_id=pl.Series([1, 2**64 - 1, 2], dtype=pl.UInt64))
    assert result.reasons() == {"user_id is not an int64": 1}
    assert result.rejected["user_id"].to_list() == [str(2**64 - 1)]
    beyond = checked(user_id=["1", str(2**63), str(2**63 - 1)])
    assert beyond.reasons() == {"user_id is not an int64": 1}
    assert beyond.accepted["user_id"].to_list() == [1, 2**63 - 1]


def test_naive_times_are_utc():
    naive = [NOW.replace(tzinfo=None)] * 3
    assert checked(ts=naive).accepted["ts"].to_list() == [NOW] * 3


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-01T10:00:00",
        "2026-05-01 10:00:00",
        "2026-05-01 10:00:00.000000",
        "2026-05-01T10:00:00Z",
        "2026-05-01T12:00:00+02:00",
        "2026-05-01T12:00:00+0200",
    ],
)
def test_iso_times_are_read_and_are_utc_where_they_name_no_zone(text):
    assert checked(ts=[text] * 3).accepted["ts"][0] == datetime(2026, 5, 1, 10, tzinfo=UTC)


def test_ids_that_became_floats_beside_a_null_are_whole_again():
    accepted = checked(item_id=[10.0, None, 2.0**53]).accepted
    assert accepted["item_id"].to_list() == [10, 2**53]
    assert accepted.schema["item_id"] == pl.Int64


def test_times_of_other_zones_and_units_keep_their_instant():
    zoned = pl.Series([NOW] * 3).dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns")
    assert checked(ts=zoned).accepted["ts"].to_list() == [NOW] * 3


def test_missing_arrivals_are_the_times_themselves():
    late = NOW - DAY + timedelta(hours=1)
    accepted = checked(arrival_ts=[None, None, late]).accepted
    assert accepted["arrival_ts"].to_list() == [NOW - 3 * DAY, NOW - 2 * DAY, late]


def test_clicks_may_be_numbers():
    accepted = checked(clicked=[0.0, 1.0, 1.0]).accepted
    assert accepted["clicked"].to_list() == [False, True, True]


def test_derived_event_ids_are_the_same_everywhere():
    first = checked().accepted["event_id"].to_list()
    assert first == PINNED
    assert checked().accepted["event_id"].to_list() == first
    other = check_events(events(), source="another", now=NOW).accepted["event_id"].to_list()
    assert not set(first) & set(other)


def test_equal_rows_get_ids_of_their_own():
    accepted = checked(user_id=[1] * 3, item_id=[10] * 3, ts=[NOW] * 3).accepted
    assert accepted["event_id"].n_unique() == 3


def test_rows_that_follow_do_not_change_derived_ids():
    both = pl.concat([events(), events()])
    longer = check_events(both, source="log", now=NOW).accepted
    first = longer.filter(pl.col("source_row") < 3)["event_id"].to_list()
    assert first == PINNED


def test_string_keys_stay_strings():
    accepted = checked(event_id=["a", "b", "c"], request_id=["r", "r", "s"]).accepted
    assert accepted["event_id"].to_list() == ["a", "b", "c"]
    assert accepted["request_id"].to_list() == ["r", "r", "s"]


def test_other_columns_pass_behind_the_canonical_ones():
    accepted = checked(device=["tv", "web", None], watch_ms=[1, 2, 3]).accepted
    assert accepted.columns[-3:] == ["watch_ms", "source_row", "device"]
    assert accepted["device"].to_list() == ["tv", "web", None]


def test_items_are_one_row_an_id():
    frame = pl.DataFrame({"item_id": [1, 1, None], "title": ["a", "b", "c"], "price": [1, 2, 3]})
    result = check_items(frame, source="items")
    assert result.accepted.rows() == [(1, "a", 1)]
    assert result.reasons() == {"item_id is null": 1, "item_id occurs twice": 1}


def test_items_may_be_published_on_a_day():
    frame = pl.DataFrame({"item_id": [1], "published_at": [NOW.date()]})
    assert check_items(frame, source="items").accepted["published_at"].to_list() == [NOW]


def test_an_item_with_an_unusable_value_is_set_aside():
    frame = pl.DataFrame({"item_id": [1, 2], "duration_ms": ["1000", "an hour"]})
    result = check_items(frame, source="items")
    assert result.accepted.rows() == [(1, 1000)]
    assert result.reasons() == {"duration_ms is not an int64": 1}


def test_items_need_an_id():
    with pytest.raises(SchemaError, match=r"items: column \['item_id'\] missing"):
        check_items(pl.DataFrame({"title": ["a"]}), source="items")
