"""Delta tables: nothing lost, nothing doubled, old versions readable."""

import errno
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from threading import Barrier

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError, DeltaError

from recbench.errors import InputError
from recbench.tables.lake import ATTEMPTS, LakeTable

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(*minutes):
    """One event at each minute."""
    return pl.DataFrame(
        {"ts": [START + timedelta(minutes=m) for m in minutes], "minute": minutes},
        schema={"ts": pl.Datetime("us", "UTC"), "minute": pl.Int64},
    )


def minutes_of(frame):
    return sorted(frame.collect()["minute"].to_list())


def append_one(path, minute):
    LakeTable(path).append(rows(minute))


@pytest.fixture
def table(tmp_path):
    return LakeTable(tmp_path / "events")


def test_a_table_exists_from_its_first_write_on(table):
    assert not table.exists
    assert table.append(rows(1)) == 0
    assert table.exists


def test_every_version_stays_readable(table):
    first, second = table.append(rows(1)), table.append(rows(2, 3))
    third = table.overwrite(rows(9))
    assert [first, second, third] == [0, 1, 2]
    assert minutes_of(table.read(first)) == [1]
    assert minutes_of(table.read(second)) == [1, 2, 3]
    assert minutes_of(table.read()) == [9]


@pytest.mark.parametrize("version", [-1, 2])
def test_a_version_that_never_was_is_refused(table, version):
    table.append(rows(1))
    table.append(rows(2))
    with pytest.raises(InputError, match=f"has versions 0 to 1, not {version}"):
        table.read(version)


def test_a_folder_without_a_log_is_not_a_table(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path.name} is not a Delta table"):
        LakeTable(tmp_path).read()


def test_new_columns_are_null_in_older_rows(table):
    table.append(rows(1))
    table.append(rows(2).with_columns(device=pl.lit("tv")))
    held = table.read().collect().sort("minute")
    assert held["device"].to_list() == [None, "tv"]


def test_what_is_new_since_a_watermark_is_read_without_the_older_files(table):
    table.append(rows(1, 2))
    table.append(rows(3, 4))
    table.append(rows(4, 5))
    watermark = START + timedelta(minutes=3)
    assert minutes_of(table.read_since(watermark)) == [4, 4, 5]
    kept = table.files_since(watermark)
    assert len(kept) == 2
    for path in set(table.path.glob("*.parquet")) - set(kept):
        path.write_bytes(b"not to be opened")
    assert minutes_of(table.read_since(watermark)) == [4, 4, 5]


def test_nothing_new_is_an_empty_frame_of_the_same_columns(table):
    table.append(rows(1))
    new = table.read_since(START + timedelta(minutes=1)).collect()
    assert new.schema == rows().schema
    assert not len(new)


def test_microseconds_after_the_watermark_are_not_cut_off(table):
    # Delta's statistics say 00:00:00.001, the event is at 00:00:00.001500
    late = START + timedelta(microseconds=1500)
    table.append(pl.DataFrame({"ts": [late], "minute": [0]}))
    assert minutes_of(table.read_since(START + timedelta(microseconds=1400))) == [0]
    assert minutes_of(table.read_since(late)) == []


def test_rows_since_a_watermark_have_the_columns_of_the_whole_table(table):
    table.append(rows(1).with_columns(device=pl.lit("tv")))
    table.append(rows(2))
    new = table.read_since(START + timedelta(minutes=1)).collect()
    assert new.select("minute", "device").rows() == [(2, None)]


def test_compaction_keeps_the_rows_and_the_older_versions(table):
    for minute in range(6):
        table.append(rows(minute))
    assert len(list(table.path.glob("*.parquet"))) == 6
    assert table.compact() == 1
    assert minutes_of(table.read()) == list(range(6))
    assert minutes_of(table.read(2)) == [0, 1, 2]
    assert minutes_of(table.read_since(START + timedelta(minutes=4))) == [5]


def test_a_replayed_transaction_is_not_doubled(table):
    table.append(rows(1), transaction=("ingest", 7))
    table.append(rows(1), transaction=("ingest", 7))
    table.append(rows(0), transaction=("ingest", 6))
    assert minutes_of(table.read()) == [1]
    assert table.transaction("ingest") == 7
    table.append(rows(2), transaction=("ingest", 8))
    assert minutes_of(table.read()) == [1, 2]


def test_transactions_of_two_applications_do_not_meet(table):
    assert table.transaction("ingest") is None
    table.append(rows(1), transaction=("ingest", 7))
    table.append(rows(2), transaction=("replay", 1))
    assert minutes_of(table.read()) == [1, 2]
    assert table.transaction("other") is None


def test_appenders_of_many_processes_lose_nothing(tmp_path):
    path = tmp_path / "events"  # not there yet: they race for its first version, too
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(append_one, [path] * 12, range(12)))
    assert minutes_of(LakeTable(path).read()) == list(range(12))


@pytest.mark.parametrize("failures", [1, ATTEMPTS - 1])
def test_a_lost_race_is_tried_again(table, monkeypatch, failures):
    commit, calls = LakeTable._write, []

    def contended(self, *arguments, **options):
        calls.append(1)
        if len(calls) <= failures:
            raise CommitFailedError("another writer was first")
        commit(self, *arguments, **options)

    monkeypatch.setattr(LakeTable, "_write", contended)
    table.append(rows(1))
    assert len(calls) == failures + 1
    assert minutes_of(table.read()) == [1]


def test_a_race_lost_again_and_again_is_an_error(table, monkeypatch):
    def contended(*_, **__):
        raise CommitFailedError("another writer was first")

    monkeypatch.setattr(LakeTable, "_write", contended)
    with pytest.raises(CommitFailedError, match="another writer"):
        table.append(rows(1))


def test_a_full_disk_is_told_as_such_and_changes_nothing(table, monkeypatch):
    table.append(rows(1))

    def full(*_, **__):
        raise DeltaError(
            "Failed to parse parquet: Unable to copy data to file: "
            f"No space left on device (os error {errno.ENOSPC})"
        )

    monkeypatch.setattr("recbench.tables.lake.write_deltalake", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
        table.append(rows(2))
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(table.path))
    assert minutes_of(table.read()) == [1]


def test_another_delta_error_is_passed_on(table, monkeypatch):
    def broken(*_, **__):
        raise DeltaError("the log is damaged")

    monkeypatch.setattr("recbench.tables.lake.write_deltalake", broken)
    with pytest.raises(DeltaError, match="the log is damaged"):
        table.append(rows(1))


def test_a_place_that_cannot_be_written_is_an_error_with_its_name(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotADirectoryError, match="file/events"):
        LakeTable(tmp_path / "file" / "events").append(rows(1))


def test_a_table_made_anew_at_the_same_place_is_another_one(tmp_path):
    table = LakeTable(tmp_path / "events")
    table.append(rows(1))
    first = table.identity
    assert table.identity == first
    shutil.rmtree(table.path)
    table.append(rows(1))
    assert table.identity != first


def test_rows_that_depend_on_what_is_committed_are_decided_anew_after_a_lost_race(
    table, monkeypatch
):
    write, seen = LakeTable._write, []

    def contended(self, *arguments, **options):
        if len(seen) == 1:  # another writer commits version 5 while we write our first answer
            monkeypatch.setattr(LakeTable, "_write", write)
            table.append(rows(5), transaction=("loader", 5))
            raise CommitFailedError("another writer was first")
        write(self, *arguments, **options)

    def decide(done):
        seen.append(dict(done))
        after = done.get("loader", 0)
        return rows(after + 1), {"loader": after + 1}

    table.append(rows(1))
    monkeypatch.setattr(LakeTable, "_write", contended)
    table.append_decided(["loader"], decide)
    assert seen == [{}, {"loader": 5}]
    assert minutes_of(table.read()) == [1, 5, 6]
    assert table.transaction("loader") == 6


def test_writers_that_create_the_table_at_once_see_each_other(tmp_path):
    """Each adds its row only if nobody's is there: with each other's commits in sight, one does."""

    def if_first(done):
        return None if "one row" in done else (rows(1), {"one row": 1})

    for trial in range(20):
        table = LakeTable(tmp_path / str(trial))
        barrier = Barrier(3)

        def write(_, table=table, barrier=barrier):
            barrier.wait()
            return table.append_decided(["one row"], if_first)

        with ThreadPoolExecutor(3) as pool:
            versions = list(pool.map(write, range(3)))
        assert sorted(versions, key=str) == [0, None, None]
        assert minutes_of(table.read()) == [1]


def test_a_decision_for_no_commit_leaves_no_version(table):
    table.append(rows(1))
    assert table.append_decided(["loader"], lambda _: None) is None
    assert table.version == 0


def test_writers_and_a_compaction_at_once_lose_nothing(tmp_path):
    table = LakeTable(tmp_path / "days", by_day=True)

    def write(number):
        for minute in range(8):
            more = {f"column_{number}": [1]} if minute > 5 else {}
            table.append_decided(
                [f"writer {number}"],
                lambda _, at=minute, more=more: (
                    rows(number * 100 + at).with_columns(pl.DataFrame(more)),
                    {f"writer {number}": at},
                ),
            )

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(3)]
        while not all(one.done() for one in writing):
            if table.exists:
                table.compact()
        for one in writing:
            one.result()
    expected = [number * 100 + minute for number in range(3) for minute in range(8)]
    assert minutes_of(table.read()) == expected
    assert table.transactions(f"writer {n}" for n in range(3)) == dict.fromkeys(
        [f"writer {n}" for n in range(3)], 7
    )
    assert {"column_0", "column_1", "column_2"} < set(table.read().collect_schema())
