"""Rows and offsets enter the lake together, once."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.events.messages import DEAD_LETTER_DTYPES
from recbench.events.stream_tables import Overtaken, Position, StreamTables, Stretch

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def tables(tmp_path):
    return StreamTables(tmp_path / "clicks", "cluster/clicks")


def rows(offsets, *, partition=0, **columns):
    return pl.DataFrame(
        {
            "event_id": [partition * 1_000 + offset for offset in offsets],
            "ts": [START + timedelta(hours=offset) for offset in offsets],
            "kafka_partition": pl.Series([partition] * len(offsets), dtype=pl.Int32),
            "kafka_offset": pl.Series(offsets, dtype=pl.Int64),
            **columns,
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC"), "event_id": pl.Int64},
    )


def letters(*offsets, partition=0):
    return pl.DataFrame(
        [
            {"reason": "not JSON", "kafka_partition": partition, "kafka_offset": offset}
            for offset in offsets
        ],
        schema=DEAD_LETTER_DTYPES,
    )


def offsets_of(table):
    return sorted(table.read().select("kafka_offset").collect()["kafka_offset"].to_list())


def test_a_stream_without_a_table_is_nowhere(tables):
    assert tables.positions([0, 1]) == {}
    assert len(tables.recent_rows({0: Position(1, 5)}, window=timedelta(hours=1))) == 0


def test_rows_and_positions_are_there_together(tables):
    tables.commit(rows([0, 1]), letters(), {0: Stretch(0, 2, 77)})
    tables.commit(rows([5], partition=1), letters(), {1: Stretch(5, 6, None)})
    assert tables.positions([0, 1, 2]) == {0: Position(2, 77), 1: Position(6, None)}
    assert offsets_of(tables.events) == [0, 1, 5]


def test_a_stretch_without_rows_moves_the_position_on(tables):
    tables.commit(rows([0]), letters(), {0: Stretch(0, 1, 1)})
    tables.commit(rows([]), letters(1, 2), {0: Stretch(1, 3, 1)})
    assert tables.positions([0])[0].next_offset == 3
    assert offsets_of(tables.dead_letters) == [1, 2]


def test_whoever_comes_second_adds_nothing_and_is_told(tables):
    tables.commit(rows([0, 1]), letters(), {0: Stretch(0, 2, 1)})
    with pytest.raises(Overtaken, match="Partition 0 was to be continued at offset 1, .* up to 2"):
        tables.commit(rows([1, 2]), letters(), {0: Stretch(1, 3, 1)})
    assert offsets_of(tables.events) == [0, 1]


def test_one_overtaken_partition_holds_back_the_whole_batch(tables):
    tables.commit(rows([0]), letters(), {0: Stretch(0, 1, 1)})
    both = pl.concat([rows([0]), rows([0], partition=1)])
    with pytest.raises(Overtaken):
        tables.commit(both, letters(), {1: Stretch(0, 1, 1), 0: Stretch(0, 1, 1)})
    assert tables.positions([1]) == {}


def test_dead_letters_of_a_crashed_commit_are_not_added_twice(tables, monkeypatch):
    def crash(*_):
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("recbench.tables.lake.LakeTable.append_decided", _after_first(crash))
        with pytest.raises(OSError, match="killed"):
            tables.commit(rows([0, 3]), letters(1, 2), {0: Stretch(0, 4, 1)})
    assert not tables.events.exists
    tables.commit(rows([0]), letters(1, 2), {0: Stretch(0, 3, 1)})  # batches are cut anew
    tables.commit(rows([3]), letters(4), {0: Stretch(3, 5, 1)})
    assert offsets_of(tables.dead_letters) == [1, 2, 4]
    assert offsets_of(tables.events) == [0, 3]


def _after_first(crash):
    from recbench.tables.lake import LakeTable

    original, calls = LakeTable.append_decided, []

    def wrapped(self, *arguments):
        calls.append(1)
        return original(self, *arguments) if len(calls) == 1 else crash()

    return wrapped


def test_new_columns_are_added_as_nullable_ones(tables):
    tables.commit(rows([0]), letters(), {0: Stretch(0, 1, 1)})
    tables.commit(rows([1], extra=["{}"]), letters(), {0: Stretch(1, 2, 1)})
    tables.commit(rows([2]), letters(), {0: Stretch(2, 3, 1)})
    read = tables.events.read().sort("kafka_offset").collect()
    assert read["extra"].to_list() == [None, "{}", None]


def test_events_lie_in_a_folder_a_day_and_read_without_it(tables):
    tables.commit(rows([0, 30]), letters(), {0: Stretch(0, 31, 1)})
    days = sorted(path.name for path in (tables.folder / "events").glob("day=*"))
    assert days == ["day=2026-03-01", "day=2026-03-02"]
    assert "day" not in tables.events.read().collect_schema()
    assert len(tables.events.read_since(START + timedelta(hours=1)).collect()) == 1


def test_recent_rows_are_those_of_the_partitions_within_the_window(tables):
    both = pl.concat([rows([0, 10, 20]), rows([20], partition=1)])
    largest = int((START + timedelta(hours=20)).timestamp() * 1e6)
    tables.commit(both, letters(), {0: Stretch(0, 21, largest), 1: Stretch(0, 21, largest)})
    found = tables.recent_rows({0: Position(21, largest)}, window=timedelta(hours=12))
    assert sorted(found["event_id"].to_list()) == [10, 20]
