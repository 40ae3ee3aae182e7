"""A part of a log beside the whole."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.widgets.chosen import chosen, chosen_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def events():
    return pl.DataFrame(
        {
            "user_id": [1, 2, 1, 3],
            "item_id": [10, 10, 20, 30],
            "ts": [NOON, NOON + HOUR, NOON + 3 * HOUR, NOON + 4 * HOUR],
            "clicked": [True, False, True, True],
        }
    )


def test_time_users_and_items_are_chosen_together(events):
    assert chosen(events).equals(events)
    assert chosen(events, first=NOON + HOUR, last=NOON + 4 * HOUR)["user_id"].to_list() == [2, 1]
    assert chosen(events, user_ids=[1, 3], item_ids=[10, 30])["user_id"].to_list() == [1, 3]
    assert chosen(events, user_ids=[1], first=NOON + HOUR)["item_id"].to_list() == [20]


def test_the_part_is_told_beside_the_whole(events):
    table = chosen_table(chosen(events, user_ids=[1, 2]), events)
    assert table.rows() == [
        ("events", "3", "4"),
        ("users", "2", "3"),
        ("items", "2", "3"),
        ("clicked", "66.7%", "75.0%"),
        ("first", "2026-01-01 12:00:00", "2026-01-01 12:00:00"),
        ("last", "2026-01-01 15:00:00", "2026-01-01 16:00:00"),
        ("longest silence", "2 h", "2 h"),
    ]


def test_nothing_chosen_is_told_without_times(events):
    table = chosen_table(chosen(events, user_ids=[99]), events.drop("clicked"))
    assert table["chosen"].to_list() == ["0", "0", "0", "", "", "", ""]
    assert table["whole log"][3] == ""
