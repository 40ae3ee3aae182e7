"""Loads that a run kept are there for the latency explorer of another day."""

import polars as pl
import pytest

from recbench import tracking
from recbench.tracking import record
from recbench.widgets.live import latency_explorer
from recbench.widgets.loads import load_tables, saved_loads


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Records loads as a run does that has this id."""
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setattr(record._Recorder, "_current", None)

    def run(name, latency_ms, *, swaps=()):
        folder = tmp_path / f"20260101T00000{len(list(tmp_path.iterdir()))}Z-checks-{name}"
        folder.mkdir()
        monkeypatch.setenv("RECBENCH_RUN_DIR", str(folder))
        frame = pl.DataFrame(
            {"due_s": [0.0, 1.0], "latency_ms": [latency_ms] * 2, "error": [None, None], "x": 1},
            schema_overrides={"error": pl.String},
        )
        tables = load_tables({"open": frame}, {"open": swaps})
        tracking.log_summary({"p99_ms": latency_ms}, tables=tables)

    return run


def test_loads_of_earlier_runs_are_explored_the_newest_first(keep, tmp_path):
    keep("aaa", 3.0)
    keep("bbb", 9.0, swaps=[0.5])

    saved = saved_loads(tmp_path)

    assert [*saved.loads] == ["open (bbb)", "open (aaa)"]
    assert saved.swaps_s == {"open (bbb)": [0.5]}
    assert saved.loads["open (aaa)"].columns == ["due_s", "latency_ms", "error"]
    explorer = latency_explorer(saved.loads, swaps_s=saved.swaps_s, bar_ms=8)
    assert "open (bbb): p99 9.00 ms, beyond 8 ms" in explorer.below.value
    explorer.dials["load"].value = "open (aaa)"
    assert "open (aaa): p99 3.00 ms, within 8 ms" in explorer.below.value


def test_only_the_last_runs_are_read(keep, tmp_path):
    for name in ("aaa", "bbb", "ccc"):
        keep(name, 3.0)

    assert [*saved_loads(tmp_path, last=2).loads] == ["open (ccc)", "open (bbb)"]


def test_without_runs_there_are_none(tmp_path):
    assert saved_loads(tmp_path / "none").loads == {}
