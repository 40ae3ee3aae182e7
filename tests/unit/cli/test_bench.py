"""`recbench bench`."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from recbench.cli import main
from recbench.cli.bench import bench
from recbench.errors import InputError


def test_bench_prints_a_table_and_writes_json(tmp_path):
    file = tmp_path / "features.json"
    answer = CliRunner().invoke(
        bench, ["features", "--runs", "1", "--events", "500", "--json", str(file)]
    )
    assert answer.exit_code == 0, answer.output
    assert "| vs_duckdb " in answer.output
    payload = json.loads(file.read_text())
    assert payload["bench"] == "features"
    assert len(payload["runs"]) == 1
    assert payload["figures"]["events_per_s"] > 0


def test_help_names_the_benches():
    answer = CliRunner().invoke(bench, ["--help"])
    assert "features" in answer.output
    assert "DuckDB" in answer.output


def test_an_unknown_bench_exits_with_two(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["bench", "fetures"])
    assert leaving.value.code == 2
    assert "'fetures' is not one of" in capsys.readouterr().err


def test_an_option_that_the_bench_does_not_take_is_refused(monkeypatch):
    monkeypatch.setattr("recbench.benchmarks.features.run", lambda *, runs: None)
    with pytest.raises(InputError, match="`bench features` does not take --events=5"):
        CliRunner().invoke(bench, ["features", "--events", "5"], catch_exceptions=False)


def test_help_imports_neither_polars_work_nor_a_benchmark():
    code = (
        "import sys; from recbench.cli.bench import bench; "
        "print([m for m in ('torch', 'duckdb', 'recbench.benchmarks.features') "
        "if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
