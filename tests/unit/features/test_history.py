"""Padded histories, worked out by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.features.history import padded_histories
from recbench.tables.queries import InteractionLog

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
EPOCH = int(START.timestamp()) * SECOND


@pytest.fixture
def log():
    """User 7 takes items 30, 10, 20 in seconds 1, 2 and 5; user 8 item 10 in second 3."""
    seconds = [5, 1, 3, 2]
    return InteractionLog.from_events(
        pl.DataFrame(
            {
                "user_id": [7, 7, 8, 7],
                "item_id": [20, 30, 10, 10],
                "ts": [START + timedelta(seconds=s) for s in seconds],
            }
        )
    )


def queries(log, users, seconds):
    return log.queries(np.array(users), EPOCH + np.array(seconds) * SECOND)


def test_the_last_events_stand_on_the_right_most_recent_last(log):
    # item rows: 10 -> 0, 20 -> 1, 30 -> 2; as of second 6 user 7 had 30, 10, 20
    padded = padded_histories(queries(log, [7, 8], [6, 6]), length=2)
    assert padded.item_rows.tolist() == [[0, 1], [-1, 0]]
    assert padded.age_s.tolist() == [[4.0, 1.0], [0.0, 3.0]]
    assert padded.age_s.dtype == np.float32


def test_an_event_of_the_same_instant_is_not_in_the_history(log):
    padded = padded_histories(queries(log, [7], [5]), length=3)
    assert padded.item_rows.tolist() == [[-1, 2, 0]]


def test_an_unknown_user_has_padding_only(log):
    padded = padded_histories(queries(log, [99], [6]), length=2)
    assert padded.item_rows.tolist() == [[-1, -1]]
    assert padded.age_s.tolist() == [[0.0, 0.0]]


def test_an_empty_log_gives_padding_only(log):
    empty = InteractionLog.from_events(
        pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64, "ts": pl.Datetime("us")})
    )
    assert padded_histories(queries(empty, [7], [6]), length=2).item_rows.tolist() == [[-1, -1]]


def test_a_length_below_one_is_refused(log):
    with pytest.raises(InputError, match="`length` must be at least 1, got 0"):
        padded_histories(queries(log, [7], [6]), length=0)
