"""Messages in, clean rows out, whatever the size of the batches."""

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recbench.events.intake import Intake
from recbench.events.messages import MessageDecoder, Messages

START = datetime(2026, 3, 1, tzinfo=UTC)
ARRIVED_MS = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1_000)


def messages(events, *, first_offset=0):
    """``events`` are (event id, second, partition)."""
    values = [
        msgspec.json.encode(
            {
                "event_id": event_id,
                "user_id": 1,
                "item_id": 2,
                "ts": (START + timedelta(seconds=second)).isoformat(),
            }
        )
        for event_id, second, _ in events
    ]
    n = len(events)
    return Messages(
        values,
        [None] * n,
        np.array([partition for *_, partition in events], dtype=np.int32),
        np.arange(first_offset, first_offset + n),
        [ARRIVED_MS] * n,
    )


def intake(lateness_s=10):
    return Intake(MessageDecoder("c/t"), allowed_lateness=timedelta(seconds=lateness_s))


def seconds(series):
    return [None if one is None else (one - START).total_seconds() for one in series]


def test_a_repeated_event_is_left_out_and_counted():
    taken = intake().take(messages([(1, 0, 0), (2, 1, 0), (1, 0, 0), (1, 5, 1)]))
    assert taken.events["event_id"].to_list() == [1, 2]
    assert taken.n_duplicates == 2


def test_a_row_carries_the_watermark_before_it_and_is_late_when_older():
    # lateness 10 s: after second 30 the watermark of partition 0 is 20; 19 is late, 20 is not
    taken = intake().take(messages([(1, 30, 0), (2, 19, 0), (3, 20, 0), (4, 1, 1), (5, 40, 0)]))
    assert seconds(taken.events["watermark"]) == [None, 20, 20, None, 20]
    assert taken.n_late == 1


def test_what_was_restored_goes_on_as_if_it_had_been_read():
    events = [(1, 30, 0), (2, 35, 0), (3, 5, 1)]
    read, restored = intake(), intake()
    rows = read.take(messages(events)).events
    restored.restore(read.watermarks.largest, rows.select("event_id", "ts"))
    more = messages([(2, 35, 0), (4, 20, 0), (5, 50, 1)], first_offset=3)
    assert restored.take(more).events.equals(read.take(more).events)


@given(
    events=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 60), st.integers(0, 1)), max_size=25
    ),
    cuts=st.lists(st.integers(0, 25), max_size=4),
)
def test_the_size_of_batches_changes_nothing(events, cuts):
    whole = intake().take(messages(events))
    parts = intake()
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    taken = [
        parts.take(messages(events[a:b], first_offset=a)) for a, b in itertools.pairwise(edges)
    ]
    assert pl.concat([one.events for one in taken]).equals(whole.events)
    assert sum(one.n_duplicates for one in taken) == whole.n_duplicates
    assert sum(one.n_late for one in taken) == whole.n_late
