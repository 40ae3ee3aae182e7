"""`recbench evaluate` on files: the table, the JSON, and what is refused."""

import json
from pathlib import Path

import polars as pl
import pytest

from recbench.cli import main

FILES = {
    "train": pl.DataFrame({"user_id": [1], "item_id": [5]}),
    "seen": pl.DataFrame({"user_id": [1], "item_id": [6]}),
    "test": pl.DataFrame({"user_id": [1, 1, 2], "item_id": [6, 7, 7]}),
    "recs": pl.DataFrame(
        {"user_id": [1, 1, 1, 2], "item_id": [6, 8, 7, 8], "rank": [1, 2, 3, 1], "score": [0.0] * 4}
    ),
}


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder with the four files; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    for name, frame in FILES.items():
        frame.write_parquet(f"{name}.parquet")

    def run(*further, without=(), **changed):
        options = {name: f"{name}.parquet" for name in FILES if name not in without} | changed
        arguments = [text for name, path in options.items() for text in (f"--{name}", path)]
        try:
            main(["evaluate", *arguments, *further])
        except SystemExit as leaving:
            return leaving.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_figures_are_written_for_machines_and_printed_for_people(evaluate, tmp_path):
    code, output, _ = evaluate("--k", "2", "--json", "out.json")
    assert code == 0
    held = json.loads((tmp_path / "out.json").read_text())
    # user 1: without 6 the list is [8, 7] and 7 relevant: 1 / log2(3) = .6309; user 2: nothing
    assert held["ndcg@2"]["known"]["value"] == pytest.approx(0.6309, abs=5e-5)
    assert held["ndcg@2"]["unknown"]["value"] == 0.0
    assert held["recall@2"]["all"] == {"value": 0.5, "low": 0.0, "high": 1.0, "n_users": 2}
    assert held["coverage@2"] == 0.5  # 7 and 8 of 5, 6, 7, 8
    assert "| known   | ndcg@2" in output
    assert "n_repeats_dropped: 1" in output


def test_dropped_repeats_are_told(evaluate):
    _, _, errors = evaluate()
    assert errors.startswith("recbench: 1 recommended items were in their user's past")


def test_repeats_may_be_allowed(evaluate):
    code, output, errors = evaluate("--repeats", "allow", "--k", "1", "--json", "out.json")
    assert (code, errors) == (0, "")
    assert "n_repeats_dropped: 0" in output
    # user 1 has 6 first, which is relevant again; user 2 has not
    assert json.loads(Path("out.json").read_text())["hit_rate@1"]["all"]["value"] == 0.5


def test_seen_may_be_left_out(evaluate):
    code, output, _ = evaluate(without=["seen"])
    assert code == 0
    assert "n_repeats_dropped: 0" in output


def test_no_resampling_depends_on_anything_but_the_seed(evaluate):
    assert evaluate("--seed", "1") == evaluate("--seed", "1")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_exits_2(evaluate, name):
    code, _, errors = evaluate(**{name: "absent.parquet"})
    assert (code, errors) == (2, "recbench: There is no file absent.parquet\n")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"user_id,item_id\n1,2\n", b"PAR1 and then nothing PAR1"])
def test_what_is_not_parquet_exits_2(evaluate, tmp_path, name, content):
    (tmp_path / f"{name}.parquet").write_bytes(content)
    code, _, errors = evaluate()
    assert code == 2
    assert errors.startswith(f"recbench: {name}.parquet is not a Parquet file: ")


@pytest.mark.parametrize("name", FILES)
def test_an_empty_table_exits_2(evaluate, name):
    FILES[name].clear().write_parquet(f"{name}.parquet")
    code, _, errors = evaluate()
    assert (code, errors) == (2, f"recbench: {name}.parquet holds no rows\n")


@pytest.mark.parametrize("name", ["train", "seen", "test"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda frame: frame.drop("item_id"), "lack ['item_id']; they have ['user_id']"),
        (
            lambda frame: frame.with_columns(user_id=pl.lit(None, pl.Int64)),
            "`user_id` of the events of {name} must be whole numbers without nulls, got Int64",
        ),
        (
            lambda frame: frame.with_columns(item_id=pl.lit(2**63, pl.UInt64)),
            "`item_id` of the events of {name} must fit into int64, but 9223372036854775808",
        ),
        (
            lambda frame: frame.with_columns(clicked=pl.lit("yes")),
            "`clicked` of the events of {name} must be true or false, got String",
        ),
        (
            lambda frame: frame.cast({"user_id": pl.String}),
            "`user_id` of the events of {name} must be whole numbers without nulls, got String",
        ),
    ],
)
def test_unusable_events_exit_2(evaluate, name, change, told):
    change(FILES[name]).write_parquet(f"{name}.parquet")
    code, _, errors = evaluate()
    assert code == 2
    assert told.format(name=name) in errors


def test_a_score_is_not_needed(evaluate):
    with_scores = evaluate()
    FILES["recs"].drop("score").write_parquet("recs.parquet")
    assert evaluate() == with_scores


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda recs: recs.drop("rank", "user_id"), "lack ['user_id', 'rank']; they have"),
        (lambda recs: recs.with_columns(rank=pl.lit(1)), "user 1 has 3 items with ranks 1 to 1"),
        (lambda recs: recs.with_columns(item_id=pl.lit(8)), "User 1 is recommended item 8 twice"),
        (lambda recs: recs.with_columns(user_id=pl.lit(2**63, pl.UInt64)), "9223372036854775808"),
        (lambda recs: recs.with_columns(score=float("nan")), "item 6 with the score nan"),
    ],
)
def test_malformed_recommendations_exit_2(evaluate, change, told):
    change(FILES["recs"]).write_parquet("recs.parquet")
    code, _, errors = evaluate()
    assert code == 2
    assert told in errors


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--k", "0"], "0 is not in the range x>=1"),
        (["--repeats", "maybe"], "'maybe' is not one of 'allow', 'mask'"),
    ],
)
def test_bad_options_exit_2(evaluate, options, told):
    code, _, errors = evaluate(*options)
    assert code == 2
    assert told in errors


def test_nobody_to_evaluate_exits_2(evaluate):
    code, _, errors = evaluate(test="seen.parquet")
    assert code == 2
    assert "No user of the test has a relevant item" in errors


def test_large_counts_are_printed_in_full(evaluate):
    n = 12_345
    seen = {"user_id": [1] * n, "item_id": range(100, 100 + n)}
    pl.DataFrame(seen).write_parquet("train.parquet")
    pl.DataFrame(seen | {"rank": range(1, n + 1)}).write_parquet("recs.parquet")
    _, output, _ = evaluate()
    assert "n_repeats_dropped: 12345\n" in output
