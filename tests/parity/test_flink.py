"""Flink's streaming job gives the numbers of batch: from a real log, made-up ones and a topic."""

import json
import shutil
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from polars.testing import assert_frame_equal

from recbench import columns as c
from recbench.datasets import load
from recbench.errors import InputError
from recbench.events.broker import embedded_broker
from recbench.features.batch import collect, window_features
from recbench.features.definitions import DecayedPopularity, LastValues, SinceLast, WindowFeature
from recbench.features.flink import KafkaSink, KafkaTopic, flink_sql, run, run_flink
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.tables.watermarks import NEVER, Watermarks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (run.ENVIRONMENT / ".complete").exists(),
        reason=f"{run.ENVIRONMENT.name} is not built: run `make env-flink`",
    ),
    pytest.mark.skipif(shutil.which("java") is None, reason="Flink needs Java 17, there is none"),
]

RELATIVE = 1e-9  # of floats: Flink adds them up in another order
MS, LATENESS = timedelta(milliseconds=1), timedelta(milliseconds=10)


def window(name, aggregation, value=None, *, entity="user_id", ms=100, of="events"):
    return WindowFeature(
        name=name, entity=entity, aggregation=aggregation, value=value, window=ms * MS, of=of
    )


EVERY_KIND = (
    window("count", "count", entity="category", ms=50),
    window("clicks", "count", ms=1, of="clicks"),
    window("mean", "mean", c.WATCH_MS, entity="category", ms=50, of="clicks"),
    window("ctr", "mean", c.CLICKED, ms=500),
    window("sum", "sum", "score"),
    window("min", "min", c.WATCH_MS, entity="item_id"),
    window("max", "max", "score", entity="item_id", of="clicks"),
    window("max_bool", "max", c.CLICKED, entity="category"),
    window("categories", "n_unique", c.CATEGORY),
    window("scores", "n_unique", "score", of="clicks"),
    window("absent", "sum", "absent"),
    window("jumps_of_users", "sum", "category_jump", of="clicks"),
    window("jumps_of_items", "sum", "category_jump", entity="item_id", ms=500),
    DecayedPopularity(name="fast", half_life=MS),
    DecayedPopularity(name="faster", half_life=MS * 0.7, entity="category"),
    DecayedPopularity(name="slow", half_life=timedelta(days=300), entity="user_id"),
    SinceLast(name="since_click", entity="category"),
    SinceLast(name="since_event", entity="item_id", of="events"),
    LastValues(name="last_categories", entity="user_id", value=c.CATEGORY, k=3, of="events"),
    LastValues(name="last_user", entity="item_id", value=c.USER_ID, k=1),
    LastValues(name="last_scores", entity="category", value="score", k=5),
    LastValues(name="last_jumps", entity="user_id", value="category_jump", k=4),
)


def made_up_log(n, *, seed):
    """Events in order of arrival: several an instant, a third of them up to 30 ms too late."""
    rng = np.random.default_rng(seed)
    ms = np.sort(rng.integers(0, n // 3, n)) - rng.integers(0, 30, n) * (rng.random(n) < 0.3)
    categories = np.array(["A", "B", "A|B", "C|A", "D", None], dtype=object)
    return pl.DataFrame(
        {
            c.USER_ID: rng.integers(0, 5, n),
            c.ITEM_ID: rng.integers(0, 7, n),
            c.TS: pl.Series((ms + 1_767_225_600_000) * 1000).cast(c.INSTANT),
            c.CLICKED: rng.random(n) < 0.6,
            c.CATEGORY: rng.choice(categories, n),
            c.WATCH_MS: pl.Series(rng.integers(0, 9, n)).replace(0, None),
            "score": rng.integers(-8, 8, n) * 0.25,
        }
    )


def with_watermarks(events, partitions):
    """The log with the watermark of each row's partition, as ingestion would have found it."""
    us = events[c.TS].to_physical().to_numpy()
    found = pl.Series(c.WATERMARK, Watermarks(LATENESS).advance(partitions, us))
    return events.with_columns(found.replace(NEVER, None).cast(c.INSTANT))


def assert_same(found, expected):
    assert_frame_equal(found, expected, rel_tol=RELATIVE, abs_tol=0.0)


def test_real_log_of_100_000_events_gives_the_numbers_of_batch(workspace):
    events = load("movielens-100k", workspace=workspace).events
    assert len(events) == 100_000
    expected = collect(window_features(events.lazy(), SHIPPED_FEATURES))
    assert_same(run_flink(events, SHIPPED_FEATURES), expected)


def test_every_kind_equals_the_naive_reference_on_a_log_out_of_order(naive_features):
    events = made_up_log(500, seed=1)
    events = with_watermarks(events, np.zeros(len(events), dtype=np.int32))
    assert (events[c.TS] < events[c.WATERMARK]).sum() > 50  # late rows ask, and count for nobody
    found = run_flink(events, EVERY_KIND, parallelism=2)
    assert_same(found.drop(events.columns), naive_features(events, EVERY_KIND))


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with embedded_broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


def topic_of(broker, name, messages, *, partitions):
    """A new topic with the (message, partition) pairs, to be read up to where it ends now."""
    broker.create_topic(name, partitions=partitions)
    ends = dict.fromkeys(range(partitions), 0)

    def note(error, message):
        assert error is None
        ends[message.partition()] = max(ends[message.partition()], message.offset() + 1)

    settings = {"compression.type": "zstd", "on_delivery": note}
    producer = Producer(broker.client_settings() | settings)
    for message, partition in messages:
        producer.produce(name, json.dumps(message), partition=int(partition))
    assert producer.flush(120) == 0
    return KafkaTopic(
        bootstrap_servers=broker.bootstrap_servers,
        topic=name,
        allowed_lateness=LATENESS,
        ends=ends,
    )


def messages_of(events):
    """Canonical messages: an unknown value is left out, and so is ``clicked`` where it is true."""
    written = events.with_columns(pl.col(c.TS).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    for row in written.to_dicts():
        yield {
            column: value
            for column, value in row.items()
            if value is not None and (column, value) != (c.CLICKED, True)
        }


def test_topic_gives_the_numbers_of_batch_and_marks_late_rows(broker):
    events = made_up_log(3000, seed=2).drop("score")
    partitions = (events[c.USER_ID] % 2).cast(pl.Int32)  # a third partition stays empty
    source = topic_of(
        broker, "events", zip(messages_of(events), partitions, strict=True), partitions=3
    )
    events = with_watermarks(events, partitions.to_numpy()).with_columns(
        partitions.alias(c.KAFKA_PARTITION),
        pl.int_range(pl.len()).over(partitions).alias(c.KAFKA_OFFSET),
    )
    late = (pl.col(c.TS) < pl.col(c.WATERMARK)).fill_null(False).alias("late")
    names = [feature.name for feature in SHIPPED_FEATURES]
    expected = (
        collect(window_features(events.lazy(), SHIPPED_FEATURES))
        .with_columns(late)
        .with_columns(pl.when(~pl.col("late")).then(pl.col(name)) for name in names)
        .sort(c.KAFKA_PARTITION, c.KAFKA_OFFSET)
    )
    assert expected["late"].sum() > 300
    found = run_flink(source, SHIPPED_FEATURES)
    assert_same(found, expected.select(found.columns))


def test_features_of_a_topic_arrive_in_another(broker, tmp_path):
    rows = [{"user_id": 1, "item_id": 2, "ts": f"2026-01-01T00:00:0{second}Z"} for second in (1, 3)]
    source = topic_of(broker, "rows", [(row, 0) for row in rows], partitions=1)
    broker.create_topic("answers", partitions=1)
    sink = KafkaSink(bootstrap_servers=broker.bootstrap_servers, topic="answers")
    job = {
        "configuration": run._configuration(tmp_path, run.ENVIRONMENT, parallelism=1),
        "statements": flink_sql(source, [SinceLast(name="since", entity="user_id")], sink=sink),
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    run._run(tmp_path, run.ENVIRONMENT, heap_mb=512)
    answers = [json.loads(message.value()) for message in consumed(broker, "answers", 2)]
    assert sorted(answer["kafka_offset"] for answer in answers) == [0, 1]
    assert {answer["ts"]: answer["since"] for answer in answers} == {
        "2026-01-01T00:00:01Z": None,
        "2026-01-01T00:00:03Z": 2_000_000,  # 3 s - 1 s
    }


def consumed(broker, topic, n):
    settings = {"group.id": "test", "auto.offset.reset": "earliest"}
    consumer = Consumer(broker.client_settings() | settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return consumer.consume(n, timeout=20)
    finally:
        consumer.close()


def test_topic_of_finer_instants_than_milliseconds_is_refused_with_an_example(broker):
    row = {"user_id": 1, "item_id": 2, "ts": "2026-01-01T00:00:00.000001Z"}
    source = topic_of(broker, "fine", [(row, 0)], partitions=1)
    with pytest.raises(InputError, match=r"has ts 2026-01-01 00:00:00\.000001; have them"):
        run_flink(source, [window("count", "count")])
