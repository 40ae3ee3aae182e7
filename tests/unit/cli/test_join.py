"""`recbench join`."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench import columns as c
from recbench.cli import main
from recbench.tables.lake import LakeTable

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return tmp_path / "lake"


@pytest.fixture
def stream(lake):
    """Two requests shown, the first clicked, and an hour later a third."""
    minutes = [0, 1, 5, 70, 71]
    ts = pl.Series([START + timedelta(minutes=minute) for minute in minutes]).cast(c.INSTANT)
    rows = pl.DataFrame(
        {
            c.EVENT_ID: range(5),
            c.USER_ID: [1, 2, 1, 3, 3],
            c.ITEM_ID: [9, 9, 9, 9, 8],
            c.REQUEST_ID: [10, 20, 10, 30, 30],
            c.TS: ts,
            c.CLICKED: [False, False, True, False, False],
            c.WATCH_MS: pl.Series([None, None, 700, None, None], dtype=pl.Int64),
            c.CATEGORY: ["A"] * 5,
            c.POSITION: pl.Series([1, 1, None, 1, 2], dtype=pl.Int16),
            c.KAFKA_PARTITION: pl.Series([0] * 5, dtype=pl.Int32),
            c.KAFKA_OFFSET: range(5),
            c.WATERMARK: ts.shift(1),
        }
    )
    LakeTable(lake / "events" / "events", by_day=True).append(rows)
    return lake / "events"


def test_one_step_adds_what_is_known_with_the_shipped_features(stream, capsys):
    file = stream / "joined.json"
    main(["join", "--once", "--json", str(file)])
    examples = LakeTable(stream / "examples").read().sort(c.REQUEST_ID).collect()
    told = examples.select(c.REQUEST_ID, c.CLICKED, c.WATCH_MS, "revision", "features_source")
    assert told.rows() == [(10, True, 700, 0, "watermark"), (20, False, None, 0, "watermark")]
    assert examples["user_last_50_items"].to_list() == [[], []]
    assert json.loads(file.read_text())["n_examples"] == 2
    assert "2 examples, 0 corrections" in capsys.readouterr().out
    assert json.loads((stream / "joiner.json").read_text())["n_orphans"] == 0


def test_one_stream_named_twice_is_read_once(stream):
    main(["join", "--once", "--no-features", "--actions-stream", "events"])
    examples = LakeTable(stream / "examples").read().sort(c.REQUEST_ID).collect()
    assert examples[c.WATCH_MS].to_list() == [700, None]


def test_a_joiner_that_is_asked_to_stop_finishes_its_step(stream):
    command = [sys.executable, "-c", "from recbench.cli import main; main()", "join"]
    with subprocess.Popen([*command, "--no-features", "--every", "1d"]) as joiner:
        while not (stream / "joiner.json").exists() and joiner.poll() is None:
            time.sleep(0.05)
        joiner.terminate()
        assert joiner.wait(timeout=120) == 0
    assert len(LakeTable(stream / "examples").read().collect()) == 2


def refused(*arguments):
    with pytest.raises(SystemExit) as leaving:
        main([*arguments])
    return leaving.value.code


def test_a_stream_that_is_not_there_is_named(lake, capsys):
    assert refused("join", "--once", "--stream", "nothing") == 2
    assert "nothing/events is no table yet" in capsys.readouterr().err


def test_a_window_of_no_length_is_refused(stream, capsys):
    assert refused("join", "--once", "--label-window", "0s") == 2
    assert "`label` must be longer than nothing" in capsys.readouterr().err
