"""The ingester over a real broker and a real Delta table."""

import errno
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from confluent_kafka import Consumer
from deltalake.exceptions import DeltaError

from recbench.errors import InputError
from recbench.events.ingest import BatchLimits, Ingest
from recbench.events.intake import Intake
from recbench.events.messages import MessageDecoder
from recbench.events.reader import TopicReader
from recbench.events.stream_tables import StreamTables, Stretch

START = datetime.now(UTC) - timedelta(hours=1)
QUICK_GROUP = {"session.timeout.ms": 1_500, "heartbeat.interval.ms": 400}


def event(number, **fields):
    ts = (START + timedelta(milliseconds=number)).isoformat()
    return msgspec.json.encode({"event_id": number, "user_id": 1, "item_id": 2, "ts": ts} | fields)


@pytest.fixture
def make_ingest(broker, tmp_path):
    """A function that makes an ingester of a topic into ``tmp_path``."""

    def make(
        topic,
        *,
        on_status=lambda _: None,
        group="g",
        settings=QUICK_GROUP,
        skip_deleted=False,
        **limits,
    ):
        source = f"{broker.cluster_id()}/{topic}"
        return Ingest(
            StreamTables(tmp_path / topic, source),
            open_reader=lambda ownership: TopicReader(
                broker.client_settings() | settings,
                topic,
                group=f"{group}-{topic}",
                ownership=ownership,
                skip_deleted=skip_deleted,
            ),
            new_intake=lambda: Intake(
                MessageDecoder(source), allowed_lateness=timedelta(seconds=10)
            ),
            limits=BatchLimits(**limits),
            on_status=on_status,
        )

    return make


def tables_of(broker, tmp_path, topic):
    return StreamTables(tmp_path / topic, f"{broker.cluster_id()}/{topic}")


def ids_of(tables):
    return sorted(tables.events.read().select("event_id").collect()["event_id"].to_list())


def test_a_topic_is_read_to_its_end_and_gone_on_with(
    broker, make_topic, send, make_ingest, tmp_path
):
    topic = make_topic(partitions=3)
    send(topic, [(event(n), n % 3) for n in range(3_000)])
    first = make_ingest(topic, rows=500).run(threading.Event(), until_end=True)
    assert (first.n_events, first.n_messages, first.state) == (3_000, 3_000, "stopped")
    again = [(event(n), n % 3) for n in range(2_900, 3_100)]
    send(topic, [*again, (b"no event", 0), (event(-60_000), 1)])
    # 100 of the 200 are known; one message is no event; one event is a minute behind: late
    second = make_ingest(topic).run(threading.Event(), until_end=True)
    counts = (second.n_events, second.n_duplicates, second.n_dead_letters, second.n_late)
    assert counts == (101, 100, 1, 1)
    tables = tables_of(broker, tmp_path, topic)
    assert ids_of(tables) == [-60_000, *range(3_100)]
    late = tables.events.read().filter(pl.col("ts") < pl.col("watermark")).collect()
    assert late["event_id"].to_list() == [-60_000]
    (letter,) = tables.dead_letters.read().collect().to_dicts()
    assert (letter["value"], letter["kafka_partition"]) == (b"no event", 0)


def test_the_watermark_and_the_lag_are_told_while_it_runs(make_topic, send, make_ingest):
    topic = make_topic()
    send(topic, [(event(n), 0) for n in range(50)])
    seen = []
    stop = threading.Event()

    def note(status):
        seen.append(status.to_json())
        if (status.n_events, status.partitions) == (50, [0]):
            stop.set()

    make_ingest(topic, on_status=note, seconds=0.2, settings={}).run(stop)
    assert seen[-1]["state"] == "stopped"
    assert seen[-1]["lag"] == 0
    assert seen[-1]["partitions"] == [0]
    expected = START + timedelta(milliseconds=49) - timedelta(seconds=10)
    assert seen[-1]["watermark"] == expected.isoformat()


def test_unknown_fields_come_to_a_column_of_their_own(
    broker, make_topic, send, make_ingest, tmp_path
):
    topic = make_topic()
    send(topic, [(event(1), 0)])
    make_ingest(topic).run(threading.Event(), until_end=True)
    send(topic, [(event(2, device="phone"), 0)])
    make_ingest(topic).run(threading.Event(), until_end=True)
    read = tables_of(broker, tmp_path, topic).events.read().sort("event_id").collect()
    assert read["extra"].to_list() == [None, '{"device":"phone"}']


def test_compaction_goes_on_beside_the_appends(broker, make_topic, send, make_ingest, tmp_path):
    topic = make_topic()
    send(topic, [(event(n), 0) for n in range(4_000)])
    ingest = make_ingest(topic, rows=100, compact_every_s=0.0)
    ingest.run(threading.Event(), until_end=True)
    tables = tables_of(broker, tmp_path, topic)
    assert ids_of(tables) == list(range(4_000))
    actions = {commit["operation"] for commit in _history(tables)}
    assert {"OPTIMIZE", "WRITE"} <= actions


def _history(tables):
    from deltalake import DeltaTable

    return DeltaTable(tables.events.path).history()


def test_a_full_disk_ends_the_ingester_and_the_next_one_goes_on(
    broker, make_topic, send, make_ingest, tmp_path, monkeypatch
):
    topic = make_topic()
    send(topic, [(event(n), 0) for n in range(100)])
    make_ingest(topic).run(threading.Event(), until_end=True)
    send(topic, [(event(n), 0) for n in range(100, 200)])

    def full(*_, **__):
        raise DeltaError(f"Unable to copy data to file (os error {errno.ENOSPC})")

    with monkeypatch.context() as patched:
        patched.setattr("recbench.tables.lake.write_deltalake", full)
        ingest = make_ingest(topic)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            ingest.run(threading.Event(), until_end=True)
    assert ingest.status.state == "failed"
    assert os.strerror(errno.ENOSPC) in ingest.status.problem
    tables = tables_of(broker, tmp_path, topic)
    assert ids_of(tables) == list(range(100))
    make_ingest(topic).run(threading.Event(), until_end=True)
    assert ids_of(tables) == list(range(200))


def test_who_is_overtaken_starts_over_where_the_lake_is(
    broker, make_topic, send, make_ingest, tmp_path
):
    topic = make_topic()
    send(topic, [(event(n), 0) for n in range(10)])
    tables = tables_of(broker, tmp_path, topic)
    stop = threading.Event()
    ingest = make_ingest(topic, seconds=0.2, settings={})
    running = threading.Thread(target=ingest.run, args=(stop,))
    running.start()
    _until(lambda: ingest.status.n_events == 10)
    # somebody else commits the next five messages, which this ingester then reads, too
    rows = (
        tables.events.read()
        .collect()
        .head(5)
        .with_columns(pl.col("event_id") + 10, pl.col("kafka_offset") + 10)
    )
    tables.commit(rows, pl.DataFrame(), {0: Stretch(10, 15, None)})
    send(topic, [(event(n), 0) for n in range(10, 20)])
    _until(lambda: ingest.status.n_events == 15)
    stop.set()
    running.join()
    assert ingest.status.n_overtaken == 1
    assert ids_of(tables) == list(range(20))


@pytest.fixture
def little_patience(monkeypatch):
    """A group that shares nothing out is made anew after 4 s; it takes 3 s to share it out."""
    monkeypatch.setattr("recbench.events.group_rescue.PATIENCE_S", 4.0)


@pytest.mark.usefixtures("little_patience")
def test_a_group_that_was_left_while_it_was_joined_serves_the_next_ingester(
    make_topic, send, make_ingest
):
    for _ in range(5):
        topic = make_topic(partitions=2)
        send(topic, [(event(n), n % 2) for n in range(10)])
        stop, states = threading.Event(), []

        def note(status, stop=stop, states=states):
            states.append(status.state)
            stop.set()

        stopped = make_ingest(topic, on_status=note).run(stop)
        if not stopped.partitions:
            break  # else this process stood still for the three seconds that it takes to join
    assert (stopped.n_events, stopped.partitions) == (0, [])
    assert states == ["waiting for partitions", "stopped"]
    following = make_ingest(topic).run(_after(200), until_end=True)
    assert (following.n_events, following.partitions) == (10, [0, 1])


@pytest.mark.usefixtures("little_patience")
def test_an_ingester_that_joins_while_the_leader_leaves_is_given_its_partitions(
    broker, make_topic, send, make_ingest
):
    topic = make_topic(partitions=2)
    send(topic, [(event(n), n % 2) for n in range(10)])
    leader = Consumer(broker.client_settings() | QUICK_GROUP | {"group.id": f"g-{topic}"})
    leader.subscribe([topic])
    _until(lambda: leader.poll(0) is None and leader.assignment())
    joining = make_ingest(topic, on_status=lambda _: leader.close())
    joined = joining.run(_after(200), until_end=True)
    assert (joined.n_events, joined.partitions) == (10, [0, 1])


def _after(seconds):
    """An event that is set after so long, for who would not end otherwise."""
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    return stop


def _until(holds, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def test_a_topic_that_was_made_anew_is_refused(broker, make_topic, send, make_ingest, tmp_path):
    topic = make_topic()
    send(topic, [(event(1), 0)])
    tables = tables_of(broker, tmp_path, topic)
    rows = pl.DataFrame({"event_id": [1], "ts": [START]})
    tables.commit(rows, pl.DataFrame(), {0: Stretch(0, 7_000, None)})
    with pytest.raises(InputError, match=f"`{topic}` has no offset 7000 yet.*made anew"):
        make_ingest(topic).run(threading.Event(), until_end=True)
