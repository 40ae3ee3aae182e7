import json
import math
import sys
import types
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from recbench import tracking
from recbench.errors import InputError
from recbench.tracking import record
from recbench.tracking.folder import run_folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a job that runs in this process, without W&B."""
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setattr(record._Recorder, "_current", None)
    return tmp_path


def content(path):
    return json.loads(path.read_text())


def test_metrics_are_appended_with_their_step(folder):
    tracking.log_metrics({"loss": 0.5}, step=1)
    tracking.log_metrics({"loss": np.float32(0.25)}, step=2)

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["metrics"]) for line in lines] == [
        (1, {"loss": 0.5}),
        (2, {"loss": 0.25}),
    ]


def test_the_summary_is_written_with_tables_and_data(folder):
    table = pl.DataFrame({"model": ["ease"], "ndcg": [0.149]})

    tracking.log_summary(
        {"ndcg@20": {"known": {"value": np.float64(0.149), "n_users": np.int64(69)}}},
        tables={"ranking": table},
        data={"name": "tiny", "version": 3},
    )

    metrics = {"ndcg@20": {"known": {"value": 0.149, "n_users": 69}}}
    assert content(folder / "metrics.json") == metrics
    assert pl.read_parquet(folder / "tables" / "ranking.parquet").equals(table)
    assert pl.read_csv(folder / "tables" / "ranking.csv").equals(table)
    assert content(folder / "tracking.json") == {
        "data": {"name": "tiny", "version": 3},
        "releases": {},
        "tracking": {"wandb": "off"},
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan")])
def test_a_number_that_is_not_finite_is_refused_by_its_name(folder, value):
    with pytest.raises(InputError, match=r"`metrics/ndcg/known` is (nan|inf)"):
        tracking.log_summary({"ndcg": {"known": value}})
    with pytest.raises(InputError, match=r"`loss` is (nan|inf)"):
        tracking.log_metrics({"loss": value})

    assert list(folder.iterdir()) == []


def test_what_json_does_not_know_is_refused_by_its_name(folder):
    with pytest.raises(InputError, match=r"`metrics/model` is <object"):
        tracking.log_summary({"model": object()})


@pytest.mark.parametrize("name", ["a/b", "", "../x", "a b"])
def test_names_that_are_not_file_names_are_refused(folder, name):
    with pytest.raises(InputError, match="is not a plain file name"):
        tracking.log_summary({}, tables={name: pl.DataFrame()})
    with pytest.raises(InputError, match="is not a plain file name"):
        tracking.save_figure(None, name)

    assert list(folder.iterdir()) == []


def test_a_figure_is_kept_as_png(folder):
    figure, axes = plt.subplots()
    axes.plot([1, 2])

    path = tracking.save_figure(figure, "curve")
    plt.close(figure)

    assert path == folder / "figures" / "curve.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_job_remembers_the_releases_it_makes(folder, tmp_path):
    tracking.log_release("r1", tmp_path / "registry" / "r1", parent=None, facts={})
    tracking.log_summary({"ndcg": 0.1}, data={"tiny": 3})

    told = content(folder / "tracking.json")
    assert told["releases"] == {"r1": str(tmp_path / "registry" / "r1")}
    assert told["data"] == {"tiny": 3}


def test_outside_a_job_a_release_is_nobodys(tmp_path, monkeypatch):
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))

    tracking.log_release("r1", tmp_path, parent=None, facts={})

    assert not (tmp_path / "runs").exists()


def test_a_job_has_one_recorder_even_after_its_summary(folder):
    tracking.log_summary({"ndcg": 0.1}, data={"tiny": 3})
    first = record._Recorder.current()

    tracking.log_metrics({"loss": 0.5})

    assert record._Recorder.current() is first
    assert content(folder / "tracking.json")["data"] == {"tiny": 3}


@pytest.mark.parametrize(("success", "failed"), [(True, 0), (False, 1)])
def test_a_cell_that_raises_fails_the_wandb_run_of_its_job(folder, monkeypatch, success, failed):
    import IPython

    hooks, calls = {}, []
    events = types.SimpleNamespace(register=lambda event, hook: hooks.update({event: hook}))
    shell = types.SimpleNamespace(events=events)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(record.WandbRun, "fail", lambda _: calls.append("failed"))
    tracking.log_metrics({"loss": 0.5})

    hooks["post_run_cell"](types.SimpleNamespace(success=success))

    assert len(calls) == failed


def test_outside_a_job_a_folder_is_made_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setattr(record._Recorder, "_current", None)

    tracking.log_metrics({"loss": 0.5})
    tracking.log_summary({"ndcg": 0.1})
    tracking.log_summary({"ndcg": 0.2})

    first, second = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert capsys.readouterr().err.splitlines() == [f"Recording to {f}" for f in (first, second)]
    assert (first / "metrics.jsonl").exists()
    assert content(second / "metrics.json") == {"ndcg": 0.2}


def test_a_notebook_is_told_its_folder_as_plain_output(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("RECBENCH_RUN_DIR", raising=False)
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=object))

    folder = run_folder()

    assert tuple(capsys.readouterr()) == (f"Recording to {folder}\n", "")


def test_a_run_folder_is_named_after_time_and_notebook(tmp_path):
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    folder = tracking.new_run_folder(tmp_path, "01_explore", at=at)

    assert folder.name.startswith("20260102T030405Z-01_explore-")
    assert folder.is_dir()


def test_a_place_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)

    with pytest.raises(
        InputError, match=f"below `{tmp_path}` .Permission denied.; set RECBENCH_RUNS"
    ):
        tracking.new_run_folder(tmp_path, "n", at=datetime(2026, 1, 1, tzinfo=UTC))
