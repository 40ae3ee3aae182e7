"""The features benchmark at a small size."""

import sys

import polars as pl
import pytest

from recbench.benchmarks import features
from recbench.errors import InputError, JobError


def test_figures_are_ratios_of_the_measured_seconds():
    result = features.run(runs=1, events=2_000)
    measured = result.runs[0]
    assert result.bench == "features"
    batch = {"events_per_s", "vs_duckdb", "vs_duckdb_integers", "vs_sort"}
    online = {"online_updates_per_s", "online_vs_dict", "lookup_p50_us", "lookup_p99_us"}
    assert set(result.figures) == batch | online | {"memory_bytes_per_million_users"}
    assert all(value > 0 for value in result.figures.values())
    assert result.figures["events_per_s"] == 2_000 / measured["ours_s"]
    assert result.figures["vs_duckdb"] == measured["duckdb_s"] / measured["ours_s"]
    assert result.figures["vs_sort"] == measured["sort_s"] / measured["ours_s"]


def test_duckdb_is_timed_in_the_first_two_runs_only():
    timed = ["duckdb_s" in run for run in features.run(runs=3, events=100).runs]
    assert timed == [True, True, False]


def test_a_number_unlike_duckdbs_stops_the_benchmark(monkeypatch):
    def wrong(frame):
        broken = pl.when(pl.int_range(pl.len()) == 7).then(-1).otherwise(pl.col("user_clicks_1h"))
        return frame.collect().with_columns(broken.alias("user_clicks_1h"))

    monkeypatch.setattr(features, "collect", wrong)
    with pytest.raises(JobError, match=r"user_clicks_1h differs.* in 1 of 500 rows.*row 7: -1"):
        features.run(runs=1, events=500)


@pytest.mark.parametrize(("runs", "events"), [(0, 10), (1, 0)])
def test_nothing_to_measure_is_refused(runs, events):
    with pytest.raises(InputError, match=f"at least 1, got {runs} and {events}"):
        features.run(runs=runs, events=events)


def test_without_duckdb_the_next_step_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InputError, match=r"duckdb.*pip install 'recbench\[dev\]'"):
        features.run(runs=1, events=10)
