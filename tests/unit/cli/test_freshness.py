"""`recbench freshness` on a small log: tables, files, JSON, and what is refused."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recbench.cli import main

N = 400


@pytest.fixture
def freshness(tmp_path, monkeypatch, capsys):
    """Runs the command on a log of a day; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "workspace"))
    rng, begun = np.random.default_rng(0), datetime(2026, 3, 1, tzinfo=UTC)
    seconds = np.sort(rng.integers(0, 86_400, N)).tolist()
    pl.DataFrame(
        {
            "user_id": rng.integers(0, 60, N),
            "item_id": rng.integers(0, 25, N),
            "ts": [begun + timedelta(seconds=second) for second in seconds],
        }
    ).write_parquet("day.parquet")

    def run(*arguments):
        try:
            main(["freshness", *arguments, "--out", "out", "--json", "out.json"])
        except SystemExit as leaving:
            return leaving.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_it_leaves_lists_tables_and_figures_and_says_what_to_do(freshness, tmp_path):
    code, out, _ = freshness(
        "day.parquet", "--protocol", "next_basket", "--cadences", "never,4h,1h", "--models",
        "ours,counters",
    )  # fmt: skip

    assert code == 0
    summary = json.loads((tmp_path / "out.json").read_text())
    assert f"Recommended: {summary['recommended']}" in out
    assert set(summary["curve"]) == {"never", "4h", "1h"}
    folder = tmp_path / "out"
    assert {place.stem for place in folder.glob("*.png")} == {
        "freshness", "shares", "over_time", "forecast", "calibration",
    }  # fmt: skip
    recs = pl.read_parquet(folder / "recs" / "ours.h-event_s-1h_w-1h_i-1h.parquet")
    assert recs.columns == ["event_id", "user_id", "ts", "item_id", "rank"]
    assert recs["event_id"].n_unique() == summary["n_requests"]
    assert (recs.group_by("event_id").len()["len"] <= 20).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Give the log once"),
        (["day.parquet", "--data", "day.parquet"], "Give the log once"),
        (["day.parquet", "--cadences", "soon"], "got 'soon'"),
        (["day.parquet", "--cadences", "never,1d"], "no more than the cadence 1d"),
        (["day.parquet", "--models", "ours,magic"], "got 'magic'"),
        (["nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_what_it_cannot_do_is_told_with_exit_code_2(freshness, arguments, said):
    code, _, error = freshness(*arguments)

    assert code == 2
    assert said in error
