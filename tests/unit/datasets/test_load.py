"""Any data set, file or table becomes a log in the lake, and is read back as the source is now."""

import importlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.datasets import CATALOGUE, in_lake, lake_name, load
from recbench.errors import InputError, SchemaError
from recbench.tables.lake import LakeTable

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=100)
LOADING = importlib.import_module("recbench.datasets.load")  # the function has the same name


def clicks(n, **columns):
    """The first n of a growing log: user 1 clicks items 0, 1, 2, … an hour apart."""
    return pl.DataFrame(
        {
            "user_id": [1] * n,
            "item_id": list(range(n)),
            "ts": [START + timedelta(hours=hour) for hour in range(n)],
        }
        | columns
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shop.events.parquet"


@pytest.fixture
def opened(path, workspace):
    """Loads the file, after writing what it is given."""

    def do(frame=None, **options):
        if frame is not None:
            frame.write_parquet(path)
        return load(path, workspace=workspace, now=NOW, **options)

    return do


def interrupted(*_):
    raise KeyboardInterrupt


def lake(workspace, log, table="events"):
    return LakeTable(workspace / "lake" / log.name / table)


def test_a_file_becomes_a_log(opened):
    log = opened(clicks(3))
    assert log.name.startswith("shop-")
    assert (log.protocol, log.version, log.rejected) == ("masked", 0, {})
    assert log.events["item_id"].to_list() == [0, 1, 2]
    assert log.items.rows() == [(0,), (1,), (2,)]


def test_loading_again_changes_nothing(opened, workspace):
    first, again = opened(clicks(3)), opened()
    assert again.events.equals(first.events)
    assert again.version == first.version == lake(workspace, first).version


def test_a_file_that_grew_appends_only_what_it_gained(opened, workspace):
    opened(clicks(3))
    log = opened(clicks(5))
    assert log.version == 1
    assert log.events["item_id"].to_list() == [0, 1, 2, 3, 4]
    appended = lake(workspace, log).files_since(START + timedelta(hours=2.5))
    assert [len(pl.read_parquet(file)) for file in appended] == [2]


def test_a_file_that_changed_is_a_new_version_without_its_old_content(opened, workspace):
    opened(clicks(3, watch_ms=[1, 2, 3]))
    log = opened(clicks(3, watch_ms=[1, 2, 9]))
    assert log.version == 1
    assert log.events["watch_ms"].to_list() == [1, 2, 9]
    assert lake(workspace, log).read(0).collect()["watch_ms"].to_list() == [1, 2, 3]


def test_a_file_that_shrank_does_not_keep_what_it_lost(opened):
    opened(clicks(5))
    assert opened(clicks(3)).events["item_id"].to_list() == [0, 1, 2]


def test_a_file_that_changes_back_is_read_as_it_is_now(opened):
    first = opened(clicks(3))
    opened(clicks(5))
    back = opened(clicks(3))
    assert back.events.equals(first.events)
    assert back.items.equals(first.items)
    assert opened(clicks(5)).events["item_id"].to_list() == [0, 1, 2, 3, 4]


def test_a_column_that_is_gone_is_gone(opened):
    opened(clicks(2, device=["tv", "web"]))
    assert "device" not in opened(clicks(3)).events.columns


def test_an_interrupted_load_is_finished_by_the_next(opened, workspace, monkeypatch):
    opened(clicks(3))

    with monkeypatch.context() as patch:
        patch.setattr(LOADING, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(clicks(5))
    log = opened()
    assert log.events["item_id"].to_list() == [0, 1, 2, 3, 4]
    assert len(lake(workspace, log).read().collect()) == 5


def test_items_of_an_interrupted_load_do_not_leak(opened, path, monkeypatch):
    items = path.with_name("shop.items.parquet")
    pl.DataFrame({"item_id": [0], "title": ["old"]}).write_parquet(items)
    opened(clicks(1))

    pl.DataFrame({"item_id": [0], "title": ["new"]}).write_parquet(items)
    with monkeypatch.context() as patch:
        patch.setattr(LOADING, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened()
    pl.DataFrame({"item_id": [0], "title": ["old"]}).write_parquet(items)
    assert opened().items["title"].to_list() == ["old"]


def test_loads_at_the_same_time_append_once(path, workspace):
    clicks(50).write_parquet(path)
    with ThreadPoolExecutor(4) as pool:
        logs = list(pool.map(lambda _: load(path, workspace=workspace, now=NOW), range(4)))
    assert [len(log.events) for log in logs] == [50] * 4
    assert {log.version for log in logs} == {0}


def test_files_of_one_name_in_two_folders_are_two_logs(tmp_path, workspace):
    for folder, n in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        clicks(n).write_parquet(tmp_path / folder / "shop.parquet")
    logs = [
        load(str(tmp_path / name / "shop.parquet"), workspace=workspace, now=NOW) for name in "ab"
    ]
    assert [len(log.events) for log in logs] == [2, 3]
    assert logs[0].name != logs[1].name


def test_items_lie_beside_their_events(opened, path):
    pl.DataFrame({"item_id": [7, 1], "title": ["seven", "one"]}).write_parquet(
        path.with_name("shop.items.parquet")
    )
    log = opened(clicks(3))
    assert log.items.rows() == [(0, None), (1, "one"), (2, None), (7, "seven")]


def test_items_can_be_named(opened, tmp_path):
    other = tmp_path / "other.parquet"
    pl.DataFrame({"item_id": [0], "title": ["zero"]}).write_parquet(other)
    assert opened(clicks(1), items=other).items.rows() == [(0, "zero")]
    pl.DataFrame({"item_id": [0], "title": ["nil"]}).write_parquet(other)
    assert opened(items=other).items.rows() == [(0, "nil")]


def test_a_null_category_is_the_items(opened, path):
    pl.DataFrame({"item_id": [0, 1], "category": ["a|b", "c"]}).write_parquet(
        path.with_name("shop.items.parquet")
    )
    log = opened(clicks(3, category=["own", None, None]))
    assert log.events["category"].to_list() == ["own", "c", None]


def test_events_without_categories_get_those_of_the_items(opened, path):
    pl.DataFrame({"item_id": [0], "category": ["a"]}).write_parquet(
        path.with_name("shop.items.parquet")
    )
    assert opened(clicks(2)).events["category"].to_list() == ["a", None]


def test_bad_rows_are_counted_and_set_aside(opened, workspace, path, caplog):
    items = pl.DataFrame({"item_id": [1, 1], "title": ["first", "second"]})
    items.write_parquet(path.with_name("shop.items.parquet"))
    log = opened(clicks(3, user_id=[1, None, 1], ts=[START, START, NOW + timedelta(days=2)]))
    assert log.rejected == {"ts is in the future": 1, "user_id is null": 1}
    assert len(log.events) == 1
    aside = lake(workspace, log, "rejected").read().collect()
    assert sorted(aside["reason"]) == ["ts is in the future", "user_id is null"]
    assert lake(workspace, log, "rejected_items").read().collect()["title"].to_list() == ["second"]
    assert "2 rows set aside: {'ts is in the future': 1, 'user_id is null': 1}" in caplog.text


def test_a_mended_file_has_no_rows_set_aside(opened, workspace):
    opened(clicks(2, user_id=[1, None]))
    log = opened(clicks(2))
    assert log.rejected == {}
    assert not lake(workspace, log, "rejected").exists


def test_the_counts_of_bad_rows_are_remembered(opened):
    opened(clicks(2, user_id=[1, None]))
    assert opened().rejected == {"user_id is null": 1}


def test_columns_of_any_type_pass(opened):
    odd = {
        "nothing": pl.Series([None, None]),
        "kind": pl.Series(["a", "b"], dtype=pl.Categorical),
        "flags": pl.Series([1, 2**64 - 1], dtype=pl.UInt64),
    }
    opened(clicks(2, **odd))
    assert opened().events["flags"].to_list() == ["1", str(2**64 - 1)]
    grown = clicks(3, **{name: values.gather([0, 1, 1]) for name, values in odd.items()})
    assert len(opened(grown).events) == 3


def test_ties_keep_the_order_of_the_file(opened):
    log = opened(clicks(4, ts=[START] * 4, item_id=[3, 1, 2, 0]))
    assert log.events["item_id"].to_list() == [3, 1, 2, 0]


def test_a_delta_table_is_a_log_too(tmp_path, workspace):
    table = LakeTable(tmp_path / "clicks")
    table.append(clicks(3))
    assert load(table.path, workspace=workspace, now=NOW).events["item_id"].to_list() == [0, 1, 2]
    table.append(clicks(5)[3:])
    assert len(load(table.path, workspace=workspace, now=NOW).events) == 5


def test_a_delta_table_made_anew_is_read_anew(tmp_path, workspace):
    table = LakeTable(tmp_path / "clicks")
    table.append(clicks(3))
    load(table.path, workspace=workspace, now=NOW)
    shutil.rmtree(table.path)
    table.append(clicks(2))
    assert len(load(table.path, workspace=workspace, now=NOW).events) == 2


def test_a_folder_without_a_delta_log_is_refused(tmp_path, workspace):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder is not a Delta table: it has no _delta_log"):
        load(tmp_path / "folder", workspace=workspace)


@pytest.mark.parametrize("content", [b"", b"user_id,item_id,ts\n1,2,3\n"])
def test_a_file_that_is_not_parquet_is_refused(path, opened, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match="shop.events.parquet is not a Parquet file"):
        opened()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (clicks(2).drop("ts"), r"shop.events.parquet: column \['ts'\] missing"),
        (clicks(0), r"shop.events.parquet: there are no rows"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_nothing_in_the_lake(opened, workspace, frame, message):
    with pytest.raises(SchemaError, match=message):
        opened(frame)
    assert not list((workspace / "lake").rglob("*.parquet"))
    assert not list((workspace / "lake").rglob("source.json"))


def test_a_name_close_to_a_data_set_is_a_hint(workspace):
    with pytest.raises(InputError, match="'movielens-100'; did you mean 'movielens-100k'"):
        load("movielens-100", workspace=workspace)


def test_a_name_far_from_all_lists_them(workspace):
    with pytest.raises(
        InputError, match=r"movietweetings, .* nor a file: 'nowhere.parquet' in /.*absolute"
    ):
        load("nowhere.parquet", workspace=workspace)


def test_items_that_are_not_there_are_refused(opened, tmp_path):
    with pytest.raises(InputError, match=r"`items` is not there: .*none\.parquet"):
        opened(clicks(1), items=tmp_path / "none.parquet")


def test_a_data_set_of_the_catalogue_takes_no_other_items(workspace, tmp_path):
    with pytest.raises(InputError, match="'movielens-100k' brings its own items"):
        load("movielens-100k", workspace=workspace, items=tmp_path)


def test_the_protocol_can_be_chosen(opened):
    assert opened(clicks(2), protocol="next_basket").protocol == "next_basket"
    assert opened().protocol == "masked"


def test_an_unknown_protocol_is_refused(opened):
    with pytest.raises(InputError, match="got 'sessions'"):
        opened(clicks(2), protocol="sessions")


def test_a_workspace_that_cannot_be_written_is_an_error_with_its_name(path, tmp_path):
    clicks(2).write_parquet(path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file/lake"):
        load(path, workspace=tmp_path / "file", now=NOW)


def test_a_data_set_of_the_catalogue_is_fetched_once_with_its_licence(
    workspace, monkeypatch, caplog
):
    fetched = []

    def fetch(cache):
        fetched.append(cache)
        return (cache / "file",)

    def read(file):
        assert file == workspace / "downloads" / "file"
        return clicks(2), pl.DataFrame({"item_id": [0], "title": ["zero"]})

    known = replace(CATALOGUE["yoochoose"], fetch=fetch, read=read)
    monkeypatch.setitem(CATALOGUE, "yoochoose", known)
    log = load("yoochoose", workspace=workspace, now=NOW)
    load("yoochoose", workspace=workspace, now=NOW)
    assert (log.name, log.protocol) == ("yoochoose", "next_in_session")
    assert fetched == [workspace / "downloads"]
    assert caplog.text.count("Licence: research use, non-commercial") == 1


def test_what_the_lake_holds_is_written_beside_it(opened, workspace):
    log = opened(clicks(2, user_id=[1, None]))
    state = json.loads((workspace / "lake" / log.name / "source.json").read_text())
    assert state["version"] == log.version
    assert state["rejected"] == log.rejected


def test_the_name_in_the_lake_is_known_before_anything_is_read(path, workspace):
    clicks(3).write_parquet(path)
    name = lake_name(path, workspace=workspace)
    assert not workspace.exists()
    log = in_lake(path, workspace=workspace)
    assert log.name == name
    own = workspace / "lake" / name / "events"
    assert lake_name(own, workspace=workspace) == in_lake(own, workspace=workspace).name == name
    assert lake_name("movielens-100k", workspace=workspace) == "movielens-100k"


def test_data_that_is_not_there_has_no_name(workspace):
    with pytest.raises(InputError, match="neither a data set .* nor a file: 'nowhere.parquet'"):
        lake_name("nowhere.parquet", workspace=workspace)
