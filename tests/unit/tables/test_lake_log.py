"""A log of the lake in parts: as of an instant, of some users, since a watermark."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench import columns as c
from recbench.datasets import in_lake
from recbench.tables.lake import LakeTable
from recbench.tables.lake_log import LakeLog, as_instant

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
FIRST_US = int(START.timestamp()) * 1_000_000


@pytest.fixture
def log(tmp_path):
    """Ten hourly events of users 0 to 4 by turns, written out of order; item 7 comes at the end."""
    events = pl.DataFrame(
        {
            c.EVENT_ID: range(10),
            c.USER_ID: [n % 5 for n in range(10)],
            c.ITEM_ID: [1, 2, 1, 2, 1, 2, 1, 2, 7, 7],
            c.TS: pl.Series([START + timedelta(hours=n) for n in range(10)]).cast(
                pl.Datetime("us", "UTC")
            ),
            c.CLICKED: [True] * 10,
            c.WATCH_MS: [None, 500, *[1_000] * 8],
            c.SOURCE_ROW: range(10),
        },
        schema_overrides={c.WATCH_MS: pl.Int64},
    )
    table = LakeTable(tmp_path / "lake" / "events", by_day=True)
    table.append(events[5:])
    table.append(events[:5])
    items = pl.DataFrame(
        {
            c.ITEM_ID: [1, 2, 8, 9],
            c.CATEGORY: ["news", "sport", None, None],
            c.PUBLISHED_AT: [None, None, START + timedelta(hours=20), None],
        },
        schema_overrides={c.PUBLISHED_AT: pl.Datetime("us", "UTC")},
    )
    return LakeLog("toy", "masked", table, table.version, items)


def at(hours):
    return FIRST_US + round(hours * HOUR_US)


def test_instants_are_microseconds_since_the_epoch():
    assert as_instant(FIRST_US) == START


def test_rows_come_in_order_of_time_with_the_category_of_their_item(log):
    whole = log.whole()
    assert whole.events[c.EVENT_ID].to_list() == [*range(10)]
    assert whole.events[c.CATEGORY].to_list()[:2] == ["news", "sport"]
    assert whole.items[c.ITEM_ID].to_list() == [1, 2, 7, 8, 9]


@pytest.mark.parametrize(
    ("hours", "events", "items"),
    [
        (8, 8, [1, 2, 9]),  # 7 is met later, 8 published later, 9 is undated and never met
        (8.5, 9, [1, 2, 7, 9]),
        (1, 1, [1, 9]),
        (21, 10, [1, 2, 7, 8, 9]),
    ],
)
def test_an_earlier_log_knows_nothing_later(log, hours, events, items):
    for earlier in (log.until(at(hours)), log.whole().until(at(hours))):
        assert len(earlier.events) == events
        assert earlier.items[c.ITEM_ID].to_list() == items


def test_a_window_starts_at_its_instant_and_ends_before_the_other(log):
    assert log.since(at(3), until=at(6))[c.EVENT_ID].to_list() == [3, 4, 5]
    assert log.since(at(8))[c.EVENT_ID].to_list() == [8, 9]
    assert log.n_before(at(3)) == 3
    assert log.span() == (at(0), at(9))
    assert log.instant_at(0.5) == at(5)


def test_of_users_all_is_read_that_lies_before(log):
    assert log.of_users(pl.Series([1, 3]), before=at(7))[c.EVENT_ID].to_list() == [1, 3, 6]


def test_a_version_stays_what_it_was(log):
    first = LakeLog("toy", "masked", log.table, 0, log.items)
    assert first.span() == (at(5), at(9))
    assert first.since(at(8))[c.EVENT_ID].to_list() == [8, 9]


def test_an_empty_table_has_no_span(tmp_path, log):
    table = LakeTable(tmp_path / "lake" / "empty", by_day=True)
    table.append(log.table.read(log.version).collect().head(0))
    assert LakeLog("toy", "masked", table, table.version, log.items).span() is None


def test_a_table_of_the_workspace_is_read_in_place(tmp_path, log, tiny_events):
    workspace = tmp_path / "workspace"
    table = LakeTable(workspace / "lake" / "clicks" / "events", by_day=True)
    table.append(tiny_events)
    found = in_lake(str(table.path), workspace=workspace)
    assert found.table.path == table.path
    assert found.version == table.version
    assert [path.name for path in (workspace / "lake").iterdir()] == ["clicks"]
    table.append(tiny_events.with_columns(pl.col(c.TS) + timedelta(days=365)))
    assert in_lake(str(table.path), workspace=workspace).version == table.version
