"""Flink's engine as far as it goes without Flink: its SQL, what it refuses, how a run fails."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recbench import columns as c
from recbench.errors import InputError, JobError, SchemaError
from recbench.features.definitions import DecayedPopularity, LastValues, SinceLast, WindowFeature
from recbench.features.flink import JsonLines, KafkaSink, KafkaTopic, flink_sql, run_flink
from recbench.features.flink.dialect import interval, name, text

SECOND = timedelta(seconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def window(
    name="w", aggregation="count", value=None, *, span=SECOND, entity="user_id", of="events"
):
    return WindowFeature(
        name=name, entity=entity, aggregation=aggregation, value=value, window=span, of=of
    )


COUNT = window()
TOPIC = KafkaTopic(
    bootstrap_servers="127.0.0.1:9092",
    topic="events",
    allowed_lateness=timedelta(seconds=5),
    ends={0: 10, 1: 7},
    properties={"security.protocol": "SSL"},
)


def lines(**dtypes):
    held = {c.USER_ID: pl.Int64(), c.ITEM_ID: pl.Int64(), c.CATEGORY: pl.String()} | dtypes
    return JsonLines(path=Path("/log.json"), dtypes=held, disorder_ms=0)


def sql_of(source, *features, sink=Path("/out")):
    return "\n".join(flink_sql(source, features, sink=sink))


def log(*instants, **columns):
    n = len(instants)
    held = {c.USER_ID: [1] * n, c.TS: pl.Series(instants, dtype=c.INSTANT)}
    return pl.DataFrame(held | columns)


def test_span_of_time_is_written_to_the_millisecond():
    span = timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)
    assert interval(span) == "INTERVAL '1 02:03:04.005' DAY(3) TO SECOND(3)"


def test_names_and_texts_cannot_break_out_of_their_quotes():
    assert name("a`b") == "`a``b`"
    assert text("it's") == "'it''s'"


def test_window_before_t_ends_a_millisecond_before_it():
    # a second: from 999 ms before t to t, over events moved by 1 ms, is [t - 1000, t - 1]
    assert "INTERVAL '0 00:00:00.999' DAY(3) TO SECOND(3) PRECEDING" in sql_of(lines(), COUNT)


def test_equal_windows_share_one_select():
    features = [COUNT, window("m", "mean", "clicked"), window("s", "sum", c.ITEM_ID)]
    held = lines(clicked=pl.Boolean())
    assert sql_of(held, *features).count("WINDOW w AS") == 1
    assert sql_of(held, *features, window("long", span=2 * SECOND)).count("WINDOW w AS") == 2


def test_watermark_trails_the_newest_row_by_the_lateness_and_a_millisecond():
    # Flink drops what is at the watermark; a row 5,000 ms behind the newest is not late
    sql = sql_of(TOPIC, COUNT)
    assert "+ 0 - 5001, 3)" in sql
    assert "ORDER BY flink_proctime ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - 5000" in sql


def test_topic_is_read_up_to_its_ends_with_the_properties_of_its_client():
    sql = sql_of(TOPIC, COUNT)
    assert "'scan.bounded.specific-offsets' = 'partition:0,offset:10;partition:1,offset:7'" in sql
    assert "'properties.security.protocol' = 'SSL'" in sql


def test_topic_without_ends_is_read_for_ever():
    endless = KafkaTopic(bootstrap_servers="b", topic="t", allowed_lateness=SECOND)
    assert "scan.bounded" not in sql_of(endless, COUNT)


def test_features_go_to_a_topic_where_one_is_named():
    sink = KafkaSink(bootstrap_servers="127.0.0.1:9093", topic="answers")
    assert "'topic' = 'answers'" in sql_of(TOPIC, COUNT, sink=sink)


def test_negative_lateness_is_refused():
    with pytest.raises(InputError, match="must not be negative, got -1 day"):
        KafkaTopic(bootstrap_servers="b", topic="t", allowed_lateness=timedelta(days=-1))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], r"got \[\]"),
        ([COUNT, COUNT], r"got \['w', 'w'\]"),
        ([window("late")], r"none of .*'late'\]; got \['late'\]"),
        ([window(span=timedelta(microseconds=999))], "of a millisecond to .*, got 0:00:00.000999"),
        ([window(span=timedelta(days=1000))], "to 999 days, got 1000 days, 0:00:00"),
        ([window("s", "sum", "rating")], r"no \['rating'\]"),
    ],
)
def test_what_flink_cannot_compute_is_refused(features, message):
    with pytest.raises(InputError, match=message):
        sql_of(TOPIC, *features)


@pytest.mark.parametrize("feature", [("item_id", "clicks"), ("user_id", "events")])
def test_last_jumps_of_others_than_the_clicks_of_users_are_refused(feature):
    entity, of = feature
    last = LastValues(name="l", entity=entity, value="category_jump", k=2, of=of)
    with pytest.raises(InputError, match=f"not of the {of} of `{entity}`"):
        sql_of(lines(), last)


def test_sum_of_texts_is_refused():
    with pytest.raises(SchemaError, match="s: `sum` needs numbers, `category` is String"):
        sql_of(lines(), window("s", "sum", c.CATEGORY))


def test_values_that_flink_has_no_type_for_are_refused():
    with pytest.raises(SchemaError, match=r"`seen` cannot go through Flink: its dtype is Date;"):
        sql_of(lines(seen=pl.Date()), window("n", "n_unique", "seen"))


def test_jumps_that_the_log_holds_are_taken_as_they_stand():
    jumps = window("j", "sum", "category_jump")
    assert "FIRST_VALUE" in sql_of(lines(), jumps)
    assert "FIRST_VALUE" not in sql_of(lines(category_jump=pl.Int64()), jumps)


def test_only_clicks_are_carried_along_where_nothing_else_counts():
    clicks = [DecayedPopularity(name="p", half_life=SECOND), SinceLast(name="s", entity="user_id")]
    assert "WHERE NOT flink_late AND flink_click" in sql_of(lines(), *clicks)
    assert "flink_late AND flink_click" not in sql_of(lines(), *clicks, COUNT)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A function that makes an environment whose Python is a shell script, with a Java beside."""

    def make(script):
        for program, line in (("environment/bin/python", script), ("java/bin/java", "exit 1")):
            path = tmp_path / program
            path.parent.mkdir(parents=True)
            path.write_text(f"#!/bin/sh\n{line}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
        (tmp_path / "environment" / ".complete").touch()
        return tmp_path / "environment"

    return make


def test_run_without_the_environment_names_the_command_that_builds_it(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} holds no PyFlink: run `make env-flink`"):
        run_flink(log(START), [COUNT], environment=tmp_path)


def test_run_without_java_says_so(environment, monkeypatch):
    folder = environment("exit 0")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(InputError, match="there is no `/nowhere/bin/java`"):
        run_flink(log(START), [COUNT], environment=folder)
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="there is no `java`: install it"):
        run_flink(log(START), [COUNT], environment=folder)


def test_run_of_an_endless_topic_is_refused(environment):
    endless = KafkaTopic(bootstrap_servers="b", topic="events", allowed_lateness=SECOND)
    with pytest.raises(InputError, match="`events` without `ends` never stops"):
        run_flink(endless, [COUNT], environment=environment("exit 0"))


def test_instants_finer_than_a_millisecond_are_refused_with_an_example(environment):
    events = log(START, START + timedelta(microseconds=1500))
    with pytest.raises(InputError, match=r"1 events have .* such as 2026-01-01T00:00:00.001500"):
        run_flink(events, [COUNT], environment=environment("exit 0"))


def test_values_that_json_cannot_hold_are_refused(environment):
    events = log(START, START, dwell=[1.0, float("inf")])
    with pytest.raises(InputError, match="`dwell` holds inf"):
        run_flink(events, [window("s", "sum", "dwell")], environment=environment("exit 0"))


def test_name_that_the_log_has_is_refused(environment):
    with pytest.raises(InputError, match=r"taken in `events`: \['user_id'\]"):
        run_flink(log(START), [window(c.USER_ID)], environment=environment("exit 0"))


@pytest.mark.parametrize(
    ("feature", "missing"),
    [
        (window(entity="item_id"), "item_id"),
        (window("j", "sum", "category_jump", entity="category"), "user_id"),
    ],
)
def test_log_without_an_entity_is_refused(feature, missing, environment):
    events = log(START, category=["A"]).drop(c.USER_ID)
    with pytest.raises(SchemaError, match=rf"need \['{missing}'\], but have"):
        run_flink(events, [feature], environment=environment("exit 0"))


def test_failed_job_gives_its_innermost_cause(environment):
    stack = "echo ': outer'; echo 'Caused by: middle'; echo 'Caused by: out of paper'; exit 1"
    with pytest.raises(JobError, match="The Flink job failed: out of paper$"):
        run_flink(log(START), [COUNT], environment=environment(stack))


def test_failed_job_without_a_cause_gives_what_it_wrote(environment):
    with pytest.raises(JobError, match="failed: no such file$"):
        run_flink(log(START), [COUNT], environment=environment("printf 'no such file'; exit 3"))


def test_message_finer_than_a_millisecond_is_named(environment):
    cause = "Flink keeps whole milliseconds, but a message has ts 12:00.0001"
    script = f"""echo "For input string: '{cause}'. Invalid."; exit 1"""
    with pytest.raises(InputError, match=r"a message has ts 12:00\.0001; have them truncated"):
        run_flink(TOPIC, [COUNT], environment=environment(script))


def test_rows_that_flink_left_out_are_noticed(environment):
    with pytest.raises(JobError, match="Flink answered 0 of 2 rows"):
        run_flink(log(START, START), [COUNT], environment=environment("exit 0"))
