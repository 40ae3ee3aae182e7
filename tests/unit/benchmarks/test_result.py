"""Medians, the machine, and what a benchmark's JSON holds."""

import json
import os
import platform

import pytest

from recbench.benchmarks.result import BenchResult, machine, medians
from recbench.errors import InputError


def test_medians_use_the_runs_that_measured_a_key():
    runs = [{"a": 3.0, "b": 10.0}, {"a": 1.0}, {"a": 2.0, "b": 20.0}]
    assert medians(runs, keys=["a", "b"]) == {"a": 2.0, "b": 15.0}


def test_a_figure_that_no_run_measured_is_refused():
    with pytest.raises(InputError, match=r"None of 1 runs measured \['b'\]"):
        medians([{"a": 1.0}], keys=["a", "b"])


def test_the_machine_is_described():
    described = machine()
    assert described["python"] == platform.python_version()
    assert 1 <= described["cores"] <= os.cpu_count()
    assert described["memory_bytes"] > 2**28
    assert described["cpu"]
    assert "polars" in described["packages"]


def test_the_json_holds_bench_machine_figures_and_runs():
    result = BenchResult("features", {"events_per_s": 5.0}, [{"events_per_s": 5.0}])
    payload = json.loads(json.dumps(result.to_json_dict()))
    assert list(payload) == ["bench", "machine", "figures", "runs"]
    assert payload["figures"] == {"events_per_s": 5.0}
