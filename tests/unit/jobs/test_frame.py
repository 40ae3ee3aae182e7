import json
import os
import socket
from datetime import UTC, datetime

import polars as pl
import pytest

import recbench
from recbench.jobs.frame import runs_frame
from recbench.jobs.manifest import Manifest, process_facts


@pytest.fixture
def add(tmp_path):
    """Adds a run below ``tmp_path``; returns its folder."""

    def add(name, *, metrics=None, **fields):
        folder = tmp_path / name
        folder.mkdir()
        described = {"notebook": "/n/train.ipynb", "notebook_sha256": "0", "parameters": {}}
        Manifest(run=name, **described | fields).write(folder)
        if metrics is not None:
            (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return add


def test_a_run_is_one_row_of_facts_parameters_metrics_and_data(tmp_path, add):
    add(
        "20260101T000000Z-train-111111",
        status="succeeded",
        started_at="2026-01-01T00:00:00+00:00",
        ended_at="2026-01-01T00:01:00+00:00",
        duration_s=60.0,
        peak_memory_bytes=2**20,
        energy={"joules": 12.5, "cpu_s": 4.0, "source": "a model"},
        parameters={"k": 10, "name": "a"},
        metrics={"ndcg@20": {"known": {"value": 0.25}}},
        data={"movielens-100k": 3},
        code={"commit": "c1", "is_dirty": False},
        releases={"r1": "/w/registry/r1"},
        group="g",
    )

    (row,) = runs_frame(tmp_path).to_dicts()

    expected = {
        "run": "20260101T000000Z-train-111111",
        "notebook": "train",
        "status": "succeeded",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "ended_at": datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
        "duration_s": 60.0,
        "peak_memory_bytes": 2**20,
        "energy_j": 12.5,
        "cpu_s": 4.0,
        "cost": None,
        "releases": ["r1"],
        "group": "g",
        "parent": None,
        "commit": "c1",
        "is_dirty": False,
        "error": None,
        "damage": None,
        "folder": str(tmp_path / "20260101T000000Z-train-111111"),
        "data.movielens-100k": 3,
        "parameters.k": 10,
        "parameters.name": "a",
        "metrics.ndcg@20/known/value": 0.25,
    }
    assert row == expected


def test_runs_can_be_filtered_and_sorted_at_once(tmp_path, add):
    for number, (rate, ndcg) in enumerate([(0.1, 0.2), (0.3, 0.1), (0.2, 0.3)]):
        add(f"2026010{number + 1}T000000Z-n-11111{number}", parameters={"rate": rate},
            metrics={"ndcg": ndcg})  # fmt: skip

    best = recbench.runs(tmp_path).filter(pl.col("parameters.rate") > 0.15).sort("metrics.ndcg")

    assert best["metrics.ndcg"].to_list() == [0.1, 0.3]


def test_where_runs_lie_is_told_by_the_environment(tmp_path, add, monkeypatch):
    add("20260101T000000Z-a-111111")
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path))

    assert recbench.runs()["run"].to_list() == ["20260101T000000Z-a-111111"]


def test_no_runs_are_a_frame_with_the_columns_of_facts(tmp_path):
    frame = runs_frame(tmp_path / "none")

    assert len(frame) == 0
    assert {"run", "status", "started_at", "damage"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("values", "dtype", "held"),
    [
        ([1, None, 2], pl.Int64, [1, None, 2]),
        ([1, 2.5, None], pl.Float64, [1.0, 2.5, None]),
        ([True, False, None], pl.Boolean, [True, False, None]),
        ([1, "a", None], pl.String, ["1", "a", None]),
        ([[1, 2], {"a": 1}, "x"], pl.String, ["[1, 2]", '{"a": 1}', "x"]),
        ([True, 1, None], pl.String, ["true", "1", None]),
        ([None, None, None], pl.String, [None, None, None]),
    ],
)
def test_a_column_has_one_kind(tmp_path, add, values, dtype, held):
    for number, value in enumerate(values):
        add(f"2026010{number + 1}T000000Z-n-11111{number}", parameters={"p": value})

    column = runs_frame(tmp_path)["parameters.p"]

    assert column.dtype == dtype
    assert column.to_list() == held


def test_states_are_the_true_ones(tmp_path, add):
    alive = process_facts()
    add("20260101T000000Z-n-111111", status="running", process=alive)
    add("20260102T000000Z-n-222222", status="running", process=alive | {"started": 0.0})
    elsewhere = {"host": f"not-{socket.gethostname()}", "pid": os.getpid(), "started": 0.0}
    add("20260103T000000Z-n-333333", status="running", process=elsewhere)

    assert runs_frame(tmp_path)["status"].to_list() == ["running", "killed", "running"]


def test_a_run_in_progress_already_names_its_releases(tmp_path, add):
    folder = add("20260101T000000Z-n-111111", status="running", process=process_facts())
    (folder / "tracking.json").write_text(json.dumps({"releases": {"r1": "/r1"}, "data": {"x": 1}}))

    frame = runs_frame(tmp_path)

    assert frame["releases"].to_list() == [["r1"]]
    assert frame["data.x"].to_list() == [1]


@pytest.mark.parametrize(
    "content",
    ["", "[]", '"x"', "{", '{"run": "r"}', '{"run": "r", "notebook": "n", "notebook_sha256": "0", '
     '"parameters": 7}', '{"run": "r", "notebook": "n", "notebook_sha256": "0", "parameters": {}, '
     '"status": "dancing"}', '{"run": "r", "notebook": "n", "notebook_sha256": "0", "parameters": '
     '{}, "started_at": "soon"}', "\udcff"],
)  # fmt: skip
def test_a_damaged_manifest_is_listed_with_what_is_wrong(tmp_path, add, content):
    add("20260101T000000Z-good-111111", status="succeeded")
    folder = add("20260102T000000Z-bad-222222")
    (folder / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))

    frame = runs_frame(tmp_path)

    assert frame["status"].to_list() == ["succeeded", "damaged"]
    assert frame["notebook"].to_list() == ["train", "bad"]
    assert frame["started_at"][1] == datetime(2026, 1, 2, tzinfo=UTC)
    assert "manifest.json` is not a manifest" in frame["damage"][1]


def test_damaged_metrics_leave_the_rest_of_the_run_readable(tmp_path, add):
    folder = add("20260101T000000Z-n-111111", status="failed")
    (folder / "metrics.json").write_text("{")

    frame = runs_frame(tmp_path)

    assert frame["status"].to_list() == ["failed"]
    assert "metrics.json` is damaged" in frame["damage"][0]


def test_what_a_later_version_wrote_is_still_read(tmp_path, add):
    folder = add("20260101T000000Z-n-111111", status="succeeded")
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"novelty": 1}))

    assert runs_frame(tmp_path)["status"].to_list() == ["succeeded"]


def test_a_lab_session_is_interactive_and_dated_by_its_folder(tmp_path):
    folder = tmp_path / "20260103T040506Z-interactive-333333"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("")

    (row,) = runs_frame(tmp_path).select("status", "notebook", "started_at").to_dicts()

    started = datetime(2026, 1, 3, 4, 5, 6, tzinfo=UTC)
    assert row == {"status": "interactive", "notebook": "interactive", "started_at": started}
