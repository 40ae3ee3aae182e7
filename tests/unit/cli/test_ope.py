"""`recbench ope` on files: the table, the JSON, and what is refused."""

import json

import numpy as np
import polars as pl
import pytest

from recbench.cli import main
from recbench.tables.lake import LakeTable

LOGGING, MEANS = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.4, 0.6])


def write_log(n=3_000, path="log.parquet", **changed):
    rng = np.random.default_rng(0)
    items = rng.choice(3, size=n, p=LOGGING)
    columns = {
        "request_id": np.arange(n),
        "position": np.zeros(n, dtype=np.int16),
        "item_id": items,
        "propensity": LOGGING[items],
        "clicked": rng.random(n) < MEANS[items],
    }
    frame = pl.DataFrame(columns | changed)
    frame.write_parquet(path)
    return frame


def write_policy(path, chances, n=3_000):
    items = np.tile(np.arange(len(chances)), n)
    request = np.repeat(np.arange(n), len(chances))
    pl.DataFrame(
        {"request_id": request, "item_id": items, "propensity": np.tile(chances, n)}
    ).write_parquet(path)


@pytest.fixture
def ope(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder with a log and two policies; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    write_log()
    write_policy("good.parquet", [0.2, 0.3, 0.5])
    write_policy("odd.parquet", [0.2, 0.2, 0.2, 0.4])  # item 3 is never logged

    def run(*arguments):
        given = ["--data", "log.parquet", *arguments]
        try:
            main(["ope", *given])
        except SystemExit as leaving:
            return leaving.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_policies_are_compared_and_what_the_log_cannot_tell_is_said(ope, tmp_path):
    code, output, _ = ope(
        "--policy", "good=good.parquet", "--policy", "odd=odd.parquet", "--json", "out.json"
    )
    assert code == 0
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    found = {(row["policy"], row["estimator"]): row for row in rows}
    for estimator in ("snips", "dr"):
        good = found["good", estimator]
        # .2 * .2 + .3 * .4 + .5 * .6 = .46, .34 as logged
        assert good["bootstrap_low"] < 0.46 < good["bootstrap_high"]
        assert good["difference_bootstrap_low"] > 0.05
        assert found["odd", estimator]["value"] is None
    assert "odd, snips: cannot tell" in output
    assert "of its choices are never logged, by the mean weight" in output


def test_delta_table_of_revisions_gives_the_latest(ope, tmp_path):
    frame = write_log(path="unused.parquet")
    times = pl.lit(0).cast(pl.Datetime("us", "UTC")).alias("ts")
    first = frame.with_columns(times, pl.lit(False).alias("clicked"), pl.lit(0).alias("revision"))
    again = frame.with_columns(times, pl.lit(1).alias("revision"))
    table = LakeTable(tmp_path / "examples")
    table.append(first)
    table.append(again)
    code, output, _ = ope("--policy", "good=good.parquet", "--data", "examples")
    assert code == 0
    assert f"{frame['clicked'].mean():.4f}" in output


def test_partial_policies_have_no_reward_model(ope):
    good = ("--policy", "good=good.parquet", "--partial")
    code, output, _ = ope(*good)
    assert code == 0
    assert "| good   | snips" in output
    assert ope(*good, "--estimator", "dr")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "good.parquet"], "--policy is NAME=FILE, got 'good.parquet'"),
        (["--policy", "logged=good.parquet"], "Two policies are called 'logged'"),
        (["--policy", "a=nowhere.parquet"], "There is no file nowhere.parquet"),
        (["--policy", "a=good.parquet", "--baseline", "b"], "got 'b'"),
        (["--policy", "a=good.parquet", "--reward", "love"], "got 'love'"),
        (["--policy", "a=good.parquet", "--least-propensity", "0.4"], "promised propensities of"),
        (["--policy", "a=good.parquet", "--estimator", "replay"], "propensities span 0.2 to 0.5"),
    ],
)
def test_bad_input_is_refused_with_code_2(ope, arguments, message):
    code, _, error = ope(*arguments)
    assert code == 2
    assert message in error


def test_estimators_for_one_slot_are_refused_for_several(ope):
    n = 1_000
    write_log(n, request_id=np.arange(n) // 2, position=np.arange(n) % 2, item_id=np.arange(n))
    pl.DataFrame(
        {
            "request_id": np.arange(n) // 2,
            "position": np.arange(n) % 2,
            "item_id": np.arange(n),
            "propensity": np.ones(n),
        }
    ).write_parquet("sure.parquet")
    code, _, error = ope("--policy", "sure=sure.parquet", "--estimator", "dros")
    assert code == 2
    assert "dros is for one slot of chance a request, and this log has up to 2" in error


def test_what_was_left_out_is_told(ope):
    write_log(propensity=np.where(np.arange(3_000) < 10, np.nan, 0.3))
    code, _, error = ope("--policy", "good=good.parquet")
    assert code == 2
    assert "request 0, position 0 has nan" in error
    log = write_log()
    log.with_columns(
        pl.when(pl.col("request_id") >= 10).then("propensity").alias("propensity")
    ).write_parquet("log.parquet")
    code, _, error = ope("--policy", "good=good.parquet")
    assert code == 0
    assert "10 slots were filled by rule and are left out" in error
