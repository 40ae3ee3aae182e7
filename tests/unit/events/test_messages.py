"""Messages become canonical rows, or dead letters with a reason."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.events.messages import DEAD_LETTER_DTYPES, MessageDecoder, Messages

ARRIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARRIVED_MS = int(ARRIVED.timestamp() * 1_000)
GOOD = {"user_id": 1, "item_id": 2, "ts": "2026-03-01T11:59:59.000001Z"}


def messages(*values):
    n = len(values)
    return Messages(
        values=[v if v is None or isinstance(v, bytes) else msgspec.json.encode(v) for v in values],
        keys=[b"key"] * n,
        partitions=np.full(n, 3, dtype=np.int32),
        offsets=np.arange(100, 100 + n),
        arrived_ms=[ARRIVED_MS] * n,
    )


def decode(*values, **options):
    return MessageDecoder("cluster/topic", **options).decode(messages(*values))


def reasons(*values, **options):
    return decode(*values, **options).dead_letters["reason"].to_list()


def test_a_full_message_becomes_a_row_of_the_canonical_dtypes():
    full = GOOD | {
        "event_id": 7,
        "arrival_ts": "2026-03-01T12:30:00+00:30",
        "clicked": False,
        "watch_ms": 1_500,
        "category": "A|B",
        "position": 4,
        "propensity": 0.25,
        "request_id": 9,
        "features": {"user_clicks_1h": 3, "user_ctr_1h": None},
    }
    (row,) = decode(full).events.to_dicts()
    assert row == {
        "user_id": 1,
        "item_id": 2,
        "ts": datetime(2026, 3, 1, 11, 59, 59, 1, tzinfo=UTC),
        "event_id": 7,
        "arrival_ts": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "clicked": False,
        "watch_ms": 1_500,
        "category": "A|B",
        "position": 4,
        "propensity": 0.25,
        "request_id": 9,
        "features_served": '{"user_clicks_1h":3,"user_ctr_1h":null}',
        "kafka_partition": 3,
        "kafka_offset": 100,
    }
    assert decode(full).events.schema["position"] == pl.Int16


def test_what_a_message_leaves_out_is_null_clicked_or_from_its_arrival():
    (row,) = decode(GOOD).events.to_dicts()
    assert row["clicked"] is True
    assert row["arrival_ts"] == ARRIVED
    assert row["watch_ms"] is None


def test_an_event_without_an_id_gets_the_one_of_its_place():
    first, second = decode(GOOD, GOOD).events["event_id"]
    assert first != second
    assert decode(GOOD, GOOD).events["event_id"].to_list() == [first, second]
    elsewhere = MessageDecoder("another/topic").decode(messages(GOOD)).events["event_id"][0]
    assert elsewhere != first


@pytest.mark.parametrize(
    "ts",
    ["2026-03-01T11:59:59Z", "2026-03-01T11:59:59", "2026-03-01T12:59:59+01:00", 1772366399000000],
)
def test_times_are_texts_with_or_without_a_zone_or_microseconds(ts):
    row = decode(GOOD, GOOD | {"ts": ts}).events.to_dicts()[1]
    assert row["ts"] == datetime(2026, 3, 1, 11, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the message is empty"),
        (b"", "not JSON: Input data was truncated"),
        (b"nonsense", "not JSON: JSON is malformed: invalid character"),
        (b"\xff\xfe", "not JSON: JSON is malformed: invalid character"),
        (b'{"user_id": 1, "item_id": 2, "ts": "\xff"}', "not JSON: the text is not UTF-8"),
        (b"[1]", "Expected `object`, got `array`"),
        (b'{"a": ' * 100_000, "not JSON: nested too deeply"),
        ({"user_id": 1, "ts": GOOD["ts"]}, "Object missing required field `item_id`"),
        (GOOD | {"user_id": "one"}, "Expected `int`, got `str` - at `$.user_id`"),
        (GOOD | {"user_id": 1.5}, "Expected `int`, got `float` - at `$.user_id`"),
        (GOOD | {"user_id": 2**63}, f"Expected `int` <= {2**63 - 1} - at `$.user_id`"),
        (GOOD | {"clicked": None}, "Expected `bool`, got `null` - at `$.clicked`"),
        (GOOD | {"watch_ms": -1}, "Expected `int` >= 0 - at `$.watch_ms`"),
        (GOOD | {"propensity": 0}, "Expected `float` > 0.0 - at `$.propensity`"),
        (GOOD | {"position": 40_000}, "Expected `int` <= 32767 - at `$.position`"),
        (GOOD | {"ts": "yesterday"}, "ts is not a time"),
        (GOOD | {"arrival_ts": "later"}, "arrival_ts is not a time"),
        (
            GOOD | {"ts": 1_772_366_399},
            "ts is before 1990; integers are microseconds since the epoch",
        ),
        (
            GOOD | {"ts": "2026-03-01T12:05:01Z"},
            "ts is more than 0:05:00 ahead of the message's arrival",
        ),
        (
            GOOD | {"ts": "9999-01-01T00:00:00Z"},
            "ts is more than 0:05:00 ahead of the message's arrival",
        ),
        (GOOD | {"event_id": "abc"}, "event_id is not an integer"),
        (
            GOOD | {"unknown": 1, "watch_ms": "long"},
            "Expected `int | null`, got `str` - at `$.watch_ms`",
        ),
    ],
)
def test_what_is_no_event_is_set_aside_with_its_reason_place_and_bytes(value, reason):
    decoded = decode(GOOD, value, GOOD)
    assert decoded.events["kafka_offset"].to_list() == [100, 102]
    (letter,) = decoded.dead_letters.to_dicts()
    assert letter["reason"] == reason
    assert (letter["kafka_partition"], letter["kafka_offset"], letter["key"]) == (3, 101, b"key")
    assert letter["value"] == messages(value).values[0]
    assert decoded.dead_letters.schema == DEAD_LETTER_DTYPES


def test_a_huge_message_is_set_aside_unread_and_whole():
    decoded = decode(GOOD | {"category": "x" * 100}, max_message_bytes=100)
    assert not len(decoded.events)
    (letter,) = decoded.dead_letters.to_dicts()
    n_bytes = len(letter["value"])
    assert letter["reason"] == f"the message has {n_bytes} bytes; the limit is 100"


def test_unknown_fields_are_kept_as_json_beside_the_event():
    decoded = decode(GOOD, GOOD | {"device": {"os": "x"}, "ab": [1, 2]})
    assert decoded.events["extra"].to_list() == [None, '{"device":{"os":"x"},"ab":[1,2]}']
    assert not len(decoded.dead_letters)


def test_ids_may_be_texts_where_the_stream_says_so():
    events = decode(
        GOOD | {"event_id": "a-1", "request_id": 5}, GOOD | {"event_id": 7}, GOOD, id_type="string"
    ).events
    assert events["event_id"].to_list()[:2] == ["a-1", "7"]
    assert events["request_id"].to_list() == ["5", None, None]
    assert events["event_id"][2].lstrip("-").isdigit()


def test_integers_written_as_texts_are_integers():
    events = decode(GOOD | {"event_id": "12"}, GOOD | {"event_id": 13}).events
    assert events["event_id"].to_list() == [12, 13]


def test_how_far_ahead_a_clock_may_be_is_the_callers_choice():
    ahead = GOOD | {"ts": "2026-03-01T13:00:00Z"}
    assert reasons(ahead, max_ahead=timedelta(hours=1)) == []


def test_no_messages_are_no_rows():
    decoded = decode()
    assert (len(decoded.events), len(decoded.dead_letters)) == (0, 0)


def test_nothing_but_dead_letters_leaves_an_empty_frame_of_the_right_columns():
    decoded = decode(b"x", b"y")
    assert decoded.events.schema["ts"] == pl.Datetime("us", "UTC")
    assert len(decoded.dead_letters) == 2


def test_a_declared_field_gets_a_column_of_its_own():
    fields = {"rating": "float", "device": "string", "visits": "int", "is_new": "bool"}
    more = {"rating": 4, "device": "tv", "visits": 2, "is_new": False, "other": 1}
    decoded = decode(GOOD, GOOD | more, GOOD | {"rating": "good"}, fields=fields)
    read = decoded.events.select(*fields, "extra")
    assert read.rows() == [(None,) * 5, (4.0, "tv", 2, False, '{"other":1}')]
    assert read.schema["rating"] == pl.Float64
    reason = "Expected `float | null`, got `str` - at `$.rating`"
    assert decoded.dead_letters["reason"].to_list() == [reason]


@pytest.mark.parametrize("name", ["user_id", "features", "watermark", "day"])
def test_a_field_may_not_take_the_name_of_a_column(name):
    with pytest.raises(InputError, match=rf"taken: \['{name}'\]"):
        MessageDecoder("x", fields={name: "int"})
