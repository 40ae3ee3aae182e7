"""What is encoded is decoded to the same rows."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import columns as c
from recbench.events.encode import encode_events
from recbench.events.messages import MessageDecoder, Messages

NOON = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)


def decoded(values):
    n = len(values)
    arrived = [int(NOON.timestamp() * 1_000)] * n
    messages = Messages(values, [None] * n, np.zeros(n, dtype=np.int32), np.arange(n), arrived)
    found = MessageDecoder("x").decode(messages)
    assert not len(found.dead_letters)
    return found.events.drop(c.KAFKA_PARTITION, c.KAFKA_OFFSET)


def test_rows_come_back_as_they_were_sent():
    rows = pl.DataFrame(
        {
            c.USER_ID: [1, -2],
            c.ITEM_ID: [2**62, 3],
            c.TS: [NOON, NOON],
            c.EVENT_ID: [7, 8],
            c.ARRIVAL_TS: [NOON, NOON],
            c.CLICKED: [True, False],
            c.WATCH_MS: [None, 5],
            c.CATEGORY: ['a "quoted"|ü\n', None],
            c.POSITION: [None, 3],
            c.PROPENSITY: [0.1, None],
            c.REQUEST_ID: [None, 4],
            c.FEATURES_SERVED: [None, '{"a":1}'],
        },
        schema_overrides={name: c.EVENT_DTYPES[name] for name in (c.TS, c.ARRIVAL_TS, c.POSITION)},
    )
    assert decoded(encode_events(rows)).equals(rows)


@settings(deadline=None)
@given(category=st.text() | st.none(), served=st.dictionaries(st.text(), st.integers()))
def test_any_text_survives(category, served):
    rows = pl.DataFrame(
        {
            c.USER_ID: [1],
            c.ITEM_ID: [2],
            c.TS: [NOON],
            c.CATEGORY: [category],
            c.FEATURES_SERVED: [msgspec.json.encode(served).decode()],
        },
        schema_overrides={c.CATEGORY: pl.String},
    )
    found = decoded(encode_events(rows))
    assert found[c.CATEGORY].to_list() == [category]
    assert msgspec.json.decode(found[c.FEATURES_SERVED][0]) == served


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2026, 3, 1, 12, tzinfo=UTC), b"2026-03-01T12:00:00.000000Z"),
        (datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC), b"1999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_have_six_digits_and_a_z(instant, text):
    (message,) = encode_events(pl.DataFrame({c.TS: [instant]}))
    assert message == b'{"ts":"' + text + b'"}'


def test_ids_may_be_texts():
    rows = pl.DataFrame({c.EVENT_ID: ["e-1"], c.REQUEST_ID: ["r-1"]})
    assert encode_events(rows) == [b'{"event_id":"e-1","request_id":"r-1"}']


def test_no_rows_are_no_messages():
    assert encode_events(pl.DataFrame(schema=c.EVENT_DTYPES)) == []


def test_columns_that_are_not_canonical_stay_behind():
    rows = pl.DataFrame({c.USER_ID: [1], c.ITEM_ID: [2], c.TS: [NOON], "rating": [4.5]})
    (message,) = encode_events(rows)
    assert msgspec.json.decode(message) == {
        "user_id": 1,
        "item_id": 2,
        "ts": "2026-03-01T12:00:00.000001Z",
    }
