"""One log: its protocol, its watermark, its shape in numbers."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.tables.describe import describe
from recbench.tables.log import EventLog, as_protocol

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def log():
    """User 1 takes item 10 twice at once, then 11 a day later; user 2 is shown 10."""
    events = pl.DataFrame(
        {
            "user_id": [1, 1, 1, 2],
            "item_id": [10, 10, 11, 10],
            "ts": [START, START, START + timedelta(days=1), START + timedelta(days=2)],
            "clicked": [True, True, True, False],
        }
    )
    items = pl.DataFrame({"item_id": [10, 11]})
    return EventLog("four", "masked", events, items, version=3, rejected={"ts is null": 1})


def test_the_watermark_is_the_last_event(log):
    assert log.watermark == START + timedelta(days=2)


@pytest.mark.parametrize(
    ("protocol", "repeats"),
    [("masked", False), ("next_in_session", True), ("next_basket", True), ("impressions", True)],
)
def test_only_masked_logs_take_an_item_once(log, protocol, repeats):
    again = EventLog("four", as_protocol(protocol), log.events, log.items, version=0)
    assert again.repeats is repeats


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match="one of .*'next_basket'.* got 'basket'"):
        as_protocol("basket")


def test_a_log_is_described_in_numbers(log):
    assert describe(log) == {
        "name": "four",
        "protocol": "masked",
        "lake_version": 3,
        "n_events": 4,
        "n_users": 2,
        "n_items": 2,
        "first_ts": "2026-01-01 00:00:00+00:00",
        "last_ts": "2026-01-03 00:00:00+00:00",
        "clicked_frac": 0.75,
        "events_per_user_median": 2.0,  # of 3 and 1
        "same_instant_frac": 0.5,  # two of four
        "repeated_pair_frac": 0.25,  # the second of (1, 10)
        "rejected_rows": {"ts is null": 1},
    }
