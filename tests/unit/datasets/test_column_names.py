"""A file whose columns have other names becomes the same log once somebody says which is which."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from recbench.datasets import load
from recbench.datasets.column_names import (
    ColumnNames,
    id_number,
    missing_columns,
    names_path,
    naming_command,
)
from recbench.errors import InputError, SchemaError

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMES = [START + timedelta(hours=hour) for hour in range(3)]
NAMES = {"user_id": "who", "item_id": "what", "ts": "when"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "my shop.parquet"


@pytest.fixture
def opened(path, workspace):
    """Writes a file and the names of its columns, and loads it."""

    def do(frame, **names):
        frame.write_parquet(path)
        if names:
            ColumnNames(**names).write(path)
        return load(path, workspace=workspace, now=START + timedelta(days=9))

    return do


def shop(**columns):
    return pl.DataFrame({"who": [1, 1, 2], "what": [5, 6, 5], "when": TIMES} | columns)


def test_named_columns_are_the_canonical_ones_and_the_others_pass(opened):
    events = opened(shop(stars=[3, 4, 5]), columns=NAMES).events
    assert events.select("user_id", "item_id", "ts", "stars").rows() == [
        (1, 5, TIMES[0], 3),
        (1, 6, TIMES[1], 4),
        (2, 5, TIMES[2], 5),
    ]
    assert "who" not in events.columns


def test_a_file_with_other_names_says_the_command_that_names_them(opened, path):
    frame = shop().rename({"who": "customer"})
    with pytest.raises(SchemaError) as caught:
        opened(frame)
    command = f"recbench data columns '{path}' --user customer --item COLUMN --ts when"
    assert f"['user_id', 'item_id', 'ts'] missing; it has {frame.columns}" in str(caught.value)
    assert str(caught.value).endswith(f"Say which is which: {command}")


def test_names_that_change_make_a_new_version(opened):
    first = opened(shop(other=[7, 8, 9]), columns=NAMES)
    second = opened(shop(other=[7, 8, 9]), columns=NAMES | {"item_id": "other"})
    assert second.version == first.version + 1
    assert second.events["item_id"].to_list() == [7, 8, 9]


def test_ids_that_are_texts_get_the_same_numbers_everywhere_and_stay_readable(opened):
    log = opened(shop(who=["ann", "ann", "bob"], what=["A-1", "B-2", "A-1"]), columns=NAMES)
    ann, again, bob = log.events["user_id"]
    # the first 53 of the 64 bits that blake2b gives b"ann"
    assert ann == again == id_number("ann") == 0x8D3ADF6ABF23F3A5 >> 11
    assert ann != bob
    assert log.events["user_key"].to_list() == ["ann", "ann", "bob"]
    assert log.events["item_key"].to_list() == ["A-1", "B-2", "A-1"]
    named = dict(log.items.select("item_id", "title").iter_rows())
    assert [named[item] for item in log.events["item_id"]] == ["A-1", "B-2", "A-1"]


def test_ids_written_as_text_are_numbers(opened):
    events = opened(shop(who=["1", "1", "2"]), columns=NAMES).events
    assert events["user_id"].to_list() == [1, 1, 2]
    assert "user_key" not in events.columns


def test_a_title_in_the_events_is_the_items(opened):
    log = opened(shop(name=["Five", "Six", "Five!"]), columns=NAMES | {"title": "name"})
    assert log.items.select("item_id", "title").rows() == [(5, "Five"), (6, "Six")]


@pytest.mark.parametrize(
    ("ts_as", "written"),
    [
        ("s", [int(time.timestamp()) for time in TIMES]),
        ("s", [time.timestamp() for time in TIMES]),
        ("ms", [int(time.timestamp()) * 1_000 for time in TIMES]),
        ("us", [int(time.timestamp()) * 1_000_000 for time in TIMES]),
        ("ns", [int(time.timestamp()) * 1_000_000_000 for time in TIMES]),
        ("", [f"{time:%Y-%m-%d %H:%M:%S}" for time in TIMES]),
        ("", [f"{time:%Y-%m-%dT%H:%M:%S}Z" for time in TIMES]),
        ("%d.%m.%Y %H:%M", [f"{time:%d.%m.%Y %H:%M}" for time in TIMES]),
        ("%Y-%m-%d %H:%M", [f"{time:%Y-%m-%d %H:%M}" for time in TIMES]),
    ],
)
def test_the_form_of_times_is_guessed_and_read(opened, ts_as, written):
    frame = shop(when=written)
    assert ColumnNames.guessed(frame).ts_as == ts_as
    assert opened(frame, columns=NAMES, ts_as=ts_as).events["ts"].to_list() == TIMES


@pytest.mark.parametrize("written", [[date(2026, 1, 1)] * 3, ["2026-01-01"] * 3])
def test_days_are_midnight_where_somebody_agreed_to_it(opened, written):
    frame = shop(when=written)
    assert ColumnNames.guessed(frame).ts_as == "%Y-%m-%d"
    events = opened(frame, columns=NAMES, ts_as="%Y-%m-%d").events
    assert events["ts"].unique().to_list() == [datetime(2026, 1, 1, tzinfo=UTC)]


def test_a_form_that_does_not_fit_is_refused(opened):
    with pytest.raises(SchemaError, match="times are Datetime.* `ts_as` 's' does not fit"):
        opened(shop(), columns=NAMES, ts_as="s")


@pytest.mark.parametrize(
    ("names", "guess"),
    [
        (["User ID", "SKU", "Created-At"], NAMES),
        (["customer", "product", "time"], NAMES),
        (["user_id", "item_id", "ts"], NAMES),
        (["a", "b", "c"], {"ts": "when"}),
    ],
)
def test_what_columns_are_often_called_is_guessed(names, guess):
    called = dict(zip(("who", "what", "when"), names, strict=True))
    guessed = ColumnNames.guessed(shop().rename(called))
    assert guessed.columns == {canonical: called[old] for canonical, old in guess.items()}


def test_a_file_with_canonical_names_lacks_nothing(path, tmp_path):
    shop().rename({old: new for new, old in NAMES.items()}).write_parquet(path)
    assert missing_columns(path) == []
    assert missing_columns(tmp_path / "nowhere.parquet") == []


def test_a_file_lacks_names_until_they_are_given(path):
    shop().write_parquet(path)
    assert missing_columns(path) == ["user_id", "item_id", "ts"]
    names = ColumnNames(NAMES, "s")
    assert names.write(path) == path.with_name("my shop.columns.json") == names_path(path)
    assert ColumnNames.beside(path) == names
    assert missing_columns(path) == []
    command = f"recbench data columns '{path}' --user who --item what --ts when --ts-as s"
    assert naming_command(path, names) == command


def test_a_column_that_is_gone_is_told(opened):
    with pytest.raises(SchemaError, match=r"columns \['what'\] are named and not there"):
        opened(shop().drop("what"), columns=NAMES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"columns": {"rating": "who"}}, "No column can be called 'rating'"),
        ({"columns": {"user_id": "who", "item_id": "who"}}, "'who' cannot be two things"),
        ({"ts_as": "hours"}, "got 'hours'"),
    ],
)
def test_names_that_mean_nothing_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        ColumnNames(**names)


@pytest.mark.parametrize("text", ["[]", "{", '{"rating": "a"}'])
def test_a_damaged_file_of_names_is_told_with_its_path(path, text):
    names_path(path).write_text(text)
    with pytest.raises(InputError, match=r"my shop\.columns\.json cannot be used"):
        ColumnNames.beside(path)
