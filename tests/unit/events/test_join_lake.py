"""The joiner's steps over the lake."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recbench.errors import InputError, SchemaError
from recbench.events.join_lake import join_step
from recbench.events.joined import joined, latest
from recbench.events.served_features import with_features
from recbench.events.shown import LabelWindows
from recbench.features.batch import features_at
from recbench.features.definitions import WindowFeature
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.tables.lake import LakeTable

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = LabelWindows(label=timedelta(seconds=60), correction=timedelta(seconds=120))
CLICKS = WindowFeature(
    name="user_clicks",
    entity="user_id",
    aggregation="count",
    value=None,
    of="clicks",
    window=timedelta(hours=1),
)
SCHEMA = {
    "event_id": pl.Int64,
    "user_id": pl.Int64,
    "item_id": pl.Int64,
    "request_id": pl.Int64,
    "ts": pl.Datetime("us", "UTC"),
    "clicked": pl.Boolean,
    "watch_ms": pl.Int64,
    "position": pl.Int16,
    "features_served": pl.String,
    "kafka_partition": pl.Int32,
    "kafka_offset": pl.Int64,
    "watermark": pl.Datetime("us", "UTC"),
}


def at(second):
    return START + timedelta(seconds=second)


def rows(*listed, offset=0, partition=0):
    """Each is (second, request, dictionary of further columns); lateness is 5 s."""
    seconds = [second for second, *_ in listed]
    frame = [
        {
            "event_id": partition * 1_000 + offset + n,
            "user_id": 1,
            "item_id": 7,
            "request_id": request,
            "ts": at(second),
            "clicked": False,
            "kafka_partition": partition,
            "kafka_offset": offset + n,
            "watermark": at(max(seconds[:n], default=second) - 5),
        }
        | more
        for n, (second, request, more) in enumerate(listed)
    ]
    return pl.DataFrame(frame, schema=SCHEMA)


SHOWN, CLICK = {"position": 1}, {"clicked": True}


@pytest.fixture
def tables(tmp_path):
    return LakeTable(tmp_path / "events", by_day=True), LakeTable(tmp_path / "examples")


def step(tables, **options):
    events, examples = tables
    return join_step([events], examples, WINDOWS, **options)


def told(examples):
    read = examples.read().sort("request_id", "revision").collect()
    return list(read.select("request_id", "revision", "clicked").iter_rows())


def test_a_click_is_told_at_once_and_the_rest_when_the_window_is_over(tables):
    events, examples = tables
    events.append(rows((0, 1, SHOWN), (1, 2, SHOWN), (10, 1, CLICK)))
    first = step(tables)
    assert (first.n_examples, first.n_corrections) == (1, 0)
    assert told(examples) == [(1, 0, True)]
    # the watermark of the last row is 70 - 5 = 65: the window of request 2, shown at 1, is over
    events.append(rows((70, 3, SHOWN), (71, 4, SHOWN), offset=3))
    second = step(tables)
    assert (second.n_examples, second.watermark) == (1, at(65))
    assert told(examples) == [(1, 0, True), (2, 0, False)]


def test_a_late_click_corrects_an_example_and_a_step_without_news_adds_nothing(tables):
    events, examples = tables
    events.append(rows((0, 1, SHOWN), (70, 2, SHOWN), (71, 3, SHOWN)))
    assert step(tables).n_examples == 1
    events.append(rows((30, 1, CLICK), offset=3).with_columns(watermark=pl.lit(at(66))))
    assert step(tables).n_corrections == 1
    version = examples.version
    assert step(tables).n_examples == 0
    assert told(examples) == [(1, 0, False), (1, 1, True)]
    assert examples.version == version


def test_an_action_without_an_exposure_is_counted_when_it_can_meet_none(tables):
    events, _ = tables
    events.append(rows((0, 9, CLICK)))
    assert step(tables).n_orphans == 0
    # 0 + 60 + 120 is over once the watermark is 181
    events.append(rows((186, 1, SHOWN), (187, 2, SHOWN), offset=1))
    assert step(tables).n_orphans == 1
    assert step(tables).n_orphans == 0


def test_the_slowest_partition_sets_the_watermark(tables):
    events, examples = tables
    slow = rows((0, 2, SHOWN), (10, 3, SHOWN), partition=1)
    events.append(pl.concat([rows((0, 1, SHOWN), (100, 4, SHOWN), (101, 5, SHOWN)), slow]))
    assert step(tables).watermark == at(-5)
    assert told(examples) == []


def test_a_partition_that_lags_far_behind_loses_nothing(tables):
    events, examples = tables
    events.append(rows((0, 1, SHOWN), (20_000, 2, SHOWN), (20_001, 3, SHOWN)))
    assert step(tables).watermark == at(19_995)
    lagging = rows((1, 4, SHOWN), (2, 4, CLICK), (30, 5, SHOWN), (120, 6, SHOWN), partition=1)
    events.append(lagging)
    assert step(tables).watermark == at(25)  # 30 - 5
    assert told(examples) == [(1, 0, False), (4, 0, True)]
    # the window of request 5 is over at 90; the lagging partition reaches 115
    events.append(rows((120, 7, SHOWN), partition=1, offset=4).with_columns(watermark=at(115)))
    assert step(tables).watermark == at(115)
    assert told(examples) == [(1, 0, False), (4, 0, True), (5, 0, False)]


def test_a_partition_that_is_idle_does_not_hold_the_others_back(tables):
    events, _ = tables
    events.append(pl.concat([rows((0, 1, SHOWN), (1, 2, SHOWN), partition=1), rows((0, 3, SHOWN))]))
    assert step(tables).watermark == at(-5)
    # the windows are 60 + 120: at 175 the idle one counts still, at 176 it does not
    for offset, (second, expected) in enumerate([(175, -5), (176, 176)], start=1):
        new = rows((second, 10 + offset, SHOWN), offset=offset)
        events.append(new.with_columns(watermark=at(second)))
        assert step(tables).watermark == at(expected)


def test_actions_that_met_their_exposure_are_no_orphans(tables):
    events, _ = tables
    steps = []
    for number, second in enumerate(range(0, 1_000, 50)):
        new = rows((second, second, SHOWN), (second + 40, second, CLICK), offset=2 * number)
        events.append(new.with_columns(watermark=at(second - 5)))
        steps.append(step(tables))
    assert sum(one.n_examples for one in steps) == 20
    assert sum(one.n_orphans for one in steps) == 0


def test_an_orphan_is_counted_once_though_the_watermark_steps_back(tables):
    events, _ = tables
    events.append(rows((0, 9, CLICK), (500, 1, SHOWN), (501, 2, SHOWN)))
    assert step(tables).n_orphans == 1
    events.append(rows((0, 3, SHOWN), (10, 4, SHOWN), partition=1))
    back = step(tables)
    assert (back.watermark, back.n_orphans) == (at(-5), 0)
    events.append(rows((600, 5, SHOWN), offset=3).with_columns(watermark=at(496)))
    ahead = step(tables)
    assert (ahead.watermark, ahead.n_orphans) == (at(496), 0)


def test_what_is_shown_again_is_counted_and_makes_no_second_example(tables):
    events, examples = tables
    events.append(rows((0, 1, SHOWN), (100, 1, SHOWN), (200, 2, SHOWN), (201, 3, SHOWN)))
    assert step(tables).n_repeats == 1
    # the windows of the first, but not of the second, are over at 225; and later both
    for offset, second in ((4, 230), (6, 400)):
        events.append(rows((second, second, SHOWN), (second + 1, second, CLICK), offset=offset))
        assert step(tables).n_repeats == 0
    events.append(rows((390, 1, SHOWN), offset=8).with_columns(watermark=at(396)))
    assert step(tables).n_repeats == 1
    # the window of that one would be over at 450, and the window of the first is no longer read
    events.append(rows((500, 9, SHOWN), offset=9).with_columns(watermark=at(495)))
    step(tables)
    read = examples.read().filter(pl.col("request_id") == 1).collect()
    assert read.select("ts", "revision").rows() == [(at(0), 0)]


def test_a_backlog_is_read_in_steps_of_bounded_size(tables):
    events, examples = tables
    listed = [(0, 1, SHOWN), (1, 2, SHOWN), (30, 1, CLICK), (100, 3, SHOWN), (101, 4, SHOWN)]
    events.append(rows(*listed, offset=1_000))  # older ones were gone when the ingester began
    steps = [step(tables, max_rows=2)]
    assert told(examples) == []  # the click is not read yet
    steps += [step(tables, max_rows=2) for _ in range(3)]
    assert [one.is_last for one in steps] == [False, False, True, True]
    # at the end of the second step the watermark is 30 - 5, of the third 100 - 5
    assert [one.watermark for one in steps] == [at(-5), at(25), at(95), at(95)]
    assert told(examples) == [(1, 0, True), (2, 0, False)]


def test_what_comes_after_all_its_windows_is_counted(tables):
    events, examples = tables
    events.append(rows((0, 1, SHOWN), (500, 2, SHOWN), (501, 3, SHOWN)))
    step(tables)
    # 10 + 60 + 120 = 190 is before the watermark
    late = rows((10, 1, CLICK), (10, 4, SHOWN), offset=3).with_columns(watermark=at(496))
    events.append(late)
    assert step(tables).n_too_late == 2
    assert told(examples) == [(1, 0, False)]


def test_actions_may_come_in_a_stream_of_their_own(tmp_path):
    shown, acted = (LakeTable(tmp_path / name, by_day=True) for name in ("shown", "acted"))
    examples = LakeTable(tmp_path / "examples")
    shown.append(rows((0, 1, SHOWN)))
    acted.append(rows((5, 1, CLICK)))
    assert join_step([shown, acted], examples, WINDOWS).n_examples == 1
    assert told(examples) == [(1, 0, True)]


def test_features_are_those_served_or_those_at_the_watermark_then(tables):
    events, examples = tables
    served = SHOWN | {"features_served": json.dumps({"user_clicks": 42})}
    # at request 2, second 20, the watermark is 10 - 5 = 5: of the clicks only that at 3 is certain
    click = {"clicked": True, "request_id": None}
    events.append(
        rows(
            (3, 0, click),
            (10, 0, click),
            (20, 2, SHOWN),
            (21, 1, served),
            (22, 1, CLICK),
            (23, 2, CLICK),
        )
    )
    step(tables, features=[CLICKS])
    read = examples.read().sort("request_id").collect()
    assert read["user_clicks"].to_list() == [42, 1]
    assert read["features_source"].to_list() == ["served", "watermark"]
    assert "features_served" not in read.columns


def test_what_was_served_must_be_of_the_features_types(tables):
    events, _ = tables
    events.append(
        rows((0, 1, SHOWN | {"features_served": '{"user_clicks": "many"}'}), (1, 1, CLICK))
    )
    with pytest.raises(InputError, match="user_clicks"):
        step(tables, features=[CLICKS])


def test_an_exposure_served_with_other_features_has_null_for_these(tables):
    examples = joined(
        rows((0, 1, SHOWN | {"features_served": '{"another": 1}'})), WINDOWS
    ).with_columns(revision=pl.lit(0))
    found = with_features(examples, rows((0, 1, SHOWN)).lazy(), [CLICKS])
    assert found["user_clicks"].to_list() == [None]


def test_features_of_every_entity_are_those_of_the_whole_log():
    jumps = WindowFeature(
        name="item_jumps",
        entity="item_id",
        aggregation="sum",
        value="category_jump",
        window=timedelta(hours=1),
    )
    features = [CLICKS, jumps, *SHIPPED_FEATURES]
    log = rows(*((second, second, CLICK) for second in range(40))).with_columns(
        user_id=pl.Series([second % 3 for second in range(40)]),
        item_id=pl.Series([second % 4 for second in range(40)]),
        category=pl.Series(["AB"[second % 7 < 3] for second in range(40)]),
    )
    examples = log[[38, 39]].with_columns(watermark=pl.Series([at(20), at(60)]))
    points = examples.with_columns(ts=pl.Series([at(20), at(39)]).cast(SCHEMA["ts"]))
    names = [feature.name for feature in features]
    expected = features_at(log.lazy(), points.lazy(), features).select(names).collect()
    found = with_features(examples, log.sample(fraction=1, shuffle=True, seed=0).lazy(), features)
    assert found.select(names).equals(expected)
    assert expected["item_jumps"].to_list() != [0, 0]


def test_a_stream_that_is_not_there_is_named(tables):
    with pytest.raises(InputError, match="events is no table yet"):
        step(tables)


def test_request_ids_of_two_kinds_are_refused(tmp_path):
    shown, acted = (LakeTable(tmp_path / name, by_day=True) for name in ("shown", "acted"))
    shown.append(rows((0, 1, SHOWN)))
    acted.append(rows((5, 1, CLICK)).with_columns(pl.col("request_id").cast(pl.String)))
    with pytest.raises(SchemaError, match="one kind to join by, got .*Int64.*String"):
        join_step([shown, acted], LakeTable(tmp_path / "examples"), WINDOWS)


def test_two_joiners_at_once_add_nothing_twice(tables, monkeypatch):
    events, examples = tables
    events.append(rows((0, 1, SHOWN), (1, 1, CLICK)))
    import recbench.events.join_lake as module

    commit, met = module._commit, []

    def meanwhile(*arguments, **options):
        if not met:
            met.append(1)
            step(tables)
        commit(*arguments, **options)

    monkeypatch.setattr(module, "_commit", meanwhile)
    with pytest.raises(InputError, match="Another joiner is at work"):
        step(tables)
    assert told(examples) == [(1, 0, True)]


def test_steps_end_where_the_join_of_everything_does(tables):
    events, examples = tables
    clicks = [(second + 7, second, CLICK) for second in range(0, 300, 9)]
    shown = [(second, second, SHOWN) for second in range(0, 300, 3)]
    every = rows(*sorted([*clicks, *shown, (900, 1_000, SHOWN), (901, 1_001, SHOWN)], key=_second))
    for part in every.iter_slices(20):
        events.append(part)
        step(tables)
    expected = joined(every, WINDOWS).filter(pl.col("ts") < at(800))
    found = latest(examples.read().collect())
    columns = ["request_id", "clicked", "label_ts"]
    assert (
        found.select(columns).sort("request_id").equals(expected.select(columns).sort("request_id"))
    )


def _second(row):
    return row[0]
