"""`recbench recommend` and `recbench score` on a real release of the tiny study."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recbench.cli import main

KNOWN, UNKNOWN = 1000, 10**12
LATE = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tiny_workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tiny_workspace))
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"user_id": [UNKNOWN, KNOWN, UNKNOWN]}).write_parquet("users.parquet")


@pytest.fixture
def pairs(tiny_events):
    """Writes pairs.parquet; (user, item) at a late time, of one known item."""
    item = tiny_events["item_id"][0]

    def write(*rows, **further):
        rows = rows or ((KNOWN, item),)
        users, items = zip(*rows, strict=True)
        frame = pl.DataFrame({"user_id": users, "item_id": items, "ts": [LATE] * len(rows)})
        frame = frame.with_columns(**further)
        frame.write_parquet("pairs.parquet")
        return frame

    return write


def failing(capsys, *arguments):
    """The message of a command that exits 2 and leaves no file."""
    with pytest.raises(SystemExit) as leaving:
        main([*arguments, "--out", "out.parquet"])
    assert leaving.value.code == 2
    assert not Path("out.parquet").exists()
    return capsys.readouterr().err


def test_lists_are_written_for_each_user_once(capsys, tiny_release):
    main(["recommend", "--users", "users.parquet", "--k", "5", "--out", "out/recs.parquet"])
    lists = pl.read_parquet("out/recs.parquet")
    assert lists.schema == {
        "user_id": pl.Int64,
        "item_id": pl.Int64,
        "rank": pl.Int32,
        "score": pl.Float32,
    }
    assert lists["user_id"].to_list() == [UNKNOWN] * 5 + [KNOWN] * 5
    assert lists["rank"].to_list() == [1, 2, 3, 4, 5] * 2
    release = tiny_release.manifest.release
    assert capsys.readouterr().out == (
        "10 rows for 2 users, 1 of them unknown (recency popularity), "
        f"by release {release}: out/recs.parquet\n"
    )


def test_an_unknown_user_gets_the_popularity_of_the_release(tiny_release):
    main(["recommend", "--users", "users.parquet", "--k", "40", "--out", "recs.parquet"])
    lists = pl.read_parquet("recs.parquet").filter(pl.col("user_id") == UNKNOWN)
    popularity = pl.read_parquet(tiny_release.path("popularity.parquet"))
    expected = popularity.with_row_index().sort("prior", "index", descending=[True, False])
    assert lists["item_id"].to_list() == expected["item_id"].to_list()
    assert lists["score"].to_list() == pytest.approx(expected["prior"].to_list(), rel=1e-6)


def test_seen_items_are_masked_unless_repeats_are_allowed(tiny_events):
    seen = tiny_events.select("user_id", "item_id").unique()
    for options, repeats in (
        ([], False),
        (["--repeats", "mask"], False),
        (["--repeats", "allow"], True),
    ):
        main(["recommend", "--users", "users.parquet", *options, "--out", "recs.parquet"])
        lists = pl.read_parquet("recs.parquet")
        assert lists.join(seen, on=["user_id", "item_id"], how="semi").is_empty() != repeats


def test_all_users_are_those_with_a_history(tiny_events):
    main(["recommend", "--users", "all", "--k", "1", "--repeats", "allow", "--out", "recs.parquet"])
    expected = tiny_events["user_id"].unique().sort()
    assert pl.read_parquet("recs.parquet")["user_id"].equals(expected)


@pytest.mark.parametrize("how", ["id", "path"])
def test_a_release_may_be_named_by_id_or_path(tiny_release, how):
    release = tiny_release
    name = release.manifest.release if how == "id" else str(release.folder)
    users = ["--users", "users.parquet"]
    main(["recommend", "--release", name, *users, "--out", "named.parquet"])
    main(["recommend", *users, "--out", "current.parquet"])
    assert pl.read_parquet("named.parquet").equals(pl.read_parquet("current.parquet"))


def test_scores_keep_the_rows_and_their_other_columns(capsys, pairs, tiny_events):
    first, second = tiny_events["item_id"].unique().sort()[:2]
    asked = pairs(
        (KNOWN, second), (KNOWN, 1), (UNKNOWN, first), (KNOWN, second), note=pl.Series([*"abcd"])
    )
    main(["score", "--pairs", "pairs.parquet", "--out", "scores.parquet"])
    scored = pl.read_parquet("scores.parquet")
    assert scored.drop("score").equals(asked)
    assert scored["score"].is_null().to_list() == [False, True, False, False]
    assert scored["score"][0] == scored["score"][3]
    assert "4 pairs scored" in capsys.readouterr().out


def test_a_score_is_that_of_the_list(tiny_release, pairs):
    main(["recommend", "--users", "users.parquet", "--k", "3", "--out", "recs.parquet"])
    lists = pl.read_parquet("recs.parquet")
    # asked at the instant after the last event, as the lists are
    after = pl.read_parquet(tiny_release.path("interactions.parquet"))["ts"].max()
    asked = pairs(*lists.select("user_id", "item_id").iter_rows())
    asked.with_columns(ts=pl.lit(after) + pl.duration(microseconds=1)).write_parquet(
        "pairs.parquet"
    )
    main(["score", "--pairs", "pairs.parquet", "--out", "scores.parquet"])
    scores = pl.read_parquet("scores.parquet")["score"]
    assert scores.to_list() == pytest.approx(lists["score"].to_list(), rel=1e-5, abs=1e-5)


def test_without_a_release_the_way_to_one_is_told(capsys, monkeypatch, tmp_path, pairs):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "empty"))
    pairs()
    for command in ["recommend", "--users", "users.parquet"], ["score", "--pairs", "pairs.parquet"]:
        assert "yet; make one by `recbench run 03_train_two_tower`" in failing(capsys, *command)


def test_an_unknown_release_exits_2(capsys):
    message = failing(capsys, "recommend", "--release", "newest", "--users", "all")
    assert "'newest' is no release id" in message


@pytest.mark.parametrize("command", [["recommend", "--users"], ["score", "--pairs"]])
def test_unreadable_files_exit_2(capsys, command):
    Path("text.parquet").write_text("user_id\n1\n")
    Path("empty.parquet").touch()
    pl.DataFrame({"user_id": []}).write_parquet("no_rows.parquet")
    assert "There is no file absent.parquet" in failing(capsys, *command, "absent.parquet")
    assert "text.parquet is not a Parquet file" in failing(capsys, *command, "text.parquet")
    assert "empty.parquet is not a Parquet file" in failing(capsys, *command, "empty.parquet")
    assert "no_rows.parquet holds no rows" in failing(capsys, *command, "no_rows.parquet")


@pytest.mark.parametrize(
    ("users", "told"),
    [
        (pl.DataFrame({"user": [1]}), "lacks the column `user_id`; it has ['user']"),
        (pl.DataFrame({"user_id": [1, None]}), "Ids must not be null, but 1 of 2 are"),
        (
            pl.DataFrame({"user_id": pl.Series([2**63], dtype=pl.UInt64)}),
            "Ids must fit into int64, but 9223372036854775808 does not",
        ),
    ],
)
def test_unusable_users_exit_2(capsys, users, told):
    users.write_parquet("users.parquet")
    message = failing(capsys, "recommend", "--users", "users.parquet")
    assert message.startswith("recbench: users.parquet")
    assert told in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ts": None}, "ts is null"),
        ({"user_id": None}, "user_id is null"),
        ({"item_id": pl.lit(2**63, pl.UInt64)}, "`item_id` can be read as Int64"),
        ({"ts": pl.lit(5)}, "`ts` must be a datetime, got Int32"),
        ({"user_id": 0.5}, "`user_id` can be read as Int64, the first is 0.5"),
    ],
)
def test_unusable_pairs_exit_2(capsys, pairs, change, told):
    pairs(**{k: v if isinstance(v, pl.Expr) else pl.lit(v) for k, v in change.items()})
    message = failing(capsys, "score", "--pairs", "pairs.parquet")
    assert "pairs.parquet" in message
    assert told in message


def test_one_bad_pair_is_counted_and_none_is_scored(capsys, pairs, tiny_events):
    item = tiny_events["item_id"][0]
    pairs((KNOWN, item), (None, item))
    message = failing(capsys, "score", "--pairs", "pairs.parquet")
    assert "1 rows cannot be used: {'user_id is null': 1}" in message


def test_a_missing_column_exits_2(capsys, pairs):
    pairs().drop("ts").write_parquet("pairs.parquet")
    message = failing(capsys, "score", "--pairs", "pairs.parquet")
    assert "column ['ts'] missing; it has ['user_id', 'item_id']" in message


def test_the_exit_code_reaches_the_shell():
    code = "from recbench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "recommend", "--users", "absent", "--out", "recs.parquet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "recbench: There is no file absent\n")
