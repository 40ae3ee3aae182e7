"""What is encoded is decoded to the same rows."""

from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl

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


def test_columns_that_are_not_canonical_stay_behind():
    rows = pl.DataFrame({c.USER_ID: [1], c.ITEM_ID: [2], c.TS: [NOON], "rating": [4.5]})
    (message,) = encode_events(rows)
    assert msgspec.json.decode(message) == {
        "user_id": 1,
        "item_id": 2,
        "ts": "2026-03-01T12:00:00.000001Z",
    }
