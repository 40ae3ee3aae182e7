"""The online features of a stream are those of the lake: a backfill, then the live stream."""

import random
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

from recbench.errors import InputError
from recbench.events.follow import Follower
from recbench.events.ingest import BatchLimits, Ingest
from recbench.events.intake import Intake
from recbench.events.messages import MessageDecoder
from recbench.events.reader import TopicReader
from recbench.events.stream_tables import StreamTables
from recbench.features.batch import features_at
from recbench.features.online.state import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
N_PARTITIONS = 2
LATENESS = timedelta(seconds=20)
USER_FEATURES = [feature for feature in SHIPPED_FEATURES if feature.entity == "user_id"]


def stream(first, n, *, seed=0):
    """``n`` events, some out of order, some late, some twice; a user's are in one partition."""
    rng = random.Random(seed + first)
    for number in range(first, first + n):
        second = number - rng.choice([0, 0, 0, 1, 15, 60])
        user = rng.randrange(5)
        event = {
            "event_id": number,
            "user_id": user,
            "item_id": rng.randrange(6),
            "ts": (START + timedelta(seconds=second)).isoformat(),
            "clicked": rng.random() < 0.6,
            "watch_ms": rng.randrange(1_000),
            "category": rng.choice(["A", "B", "A|B"]),
        }
        for _ in range(1 + (rng.random() < 0.1)):
            yield msgspec.json.encode(event), user % N_PARTITIONS


class World:
    """A topic, its stream in the lake, and who reads it."""

    def __init__(self, broker, topic, folder):
        self.broker, self.topic = broker, topic
        self.source = f"{broker.cluster_id()}/{topic}"
        self.tables = StreamTables(folder, self.source)

    def new_intake(self):
        return Intake(MessageDecoder(self.source), allowed_lateness=LATENESS)

    def ingest(self):
        quick = {"session.timeout.ms": 1_500, "heartbeat.interval.ms": 400}
        return Ingest(
            self.tables,
            open_reader=lambda ownership: TopicReader(
                self.broker.client_settings() | quick,
                self.topic,
                group=self.topic,
                ownership=ownership,
            ),
            new_intake=self.new_intake,
            limits=BatchLimits(),
            on_status=lambda _: None,
        ).run(threading.Event(), until_end=True)

    def follower(self, store):
        return Follower(
            store,
            self.tables,
            settings=self.broker.client_settings(),
            topic=self.topic,
            new_intake=self.new_intake,
        )

    def assert_equal(self, store):
        """Every user's features after the last event are those of the lake."""
        events = self.tables.events.read().collect()
        events = events.sort("kafka_partition", "kafka_offset")
        at = events["ts"].max() + timedelta(seconds=3)
        users = events["user_id"].unique().sort()
        points = pl.DataFrame({"user_id": users}).with_columns(ts=pl.lit(at))
        expected = features_at(events.lazy(), points.lazy(), USER_FEATURES).collect()
        at_us = int(at.timestamp()) * 1_000_000
        for row in expected.drop("ts").iter_rows(named=True):
            assert store.lookup("user_id", row.pop("user_id"), at_us=at_us) == row


@pytest.fixture
def world(broker, make_topic, tmp_path):
    return World(broker, make_topic(partitions=N_PARTITIONS), tmp_path / "stream")


def follow_to_end(follower):
    return follower.run(threading.Event(), until_end=True)


def test_backfill_and_live_stream_meet_without_gap_or_overlap(world, send):
    send(world.topic, stream(0, 400))
    world.ingest()
    send(world.topic, stream(400, 400))
    store = OnlineState(SHIPPED_FEATURES)
    status = follow_to_end(world.follower(store))
    assert status.n_backfilled > 300
    assert status.n_events > 300
    world.ingest()
    assert status.n_backfilled + status.n_events == len(world.tables.events.read().collect())
    world.assert_equal(store)


def test_without_a_lake_the_topic_is_followed_from_its_beginning(world, send):
    send(world.topic, stream(0, 300))
    store = OnlineState(SHIPPED_FEATURES)
    status = follow_to_end(world.follower(store))
    assert (status.n_backfilled, status.n_events) == (0, 300)
    world.ingest()
    world.assert_equal(store)


def test_a_store_ahead_of_the_lake_takes_nothing_twice(world, send):
    send(world.topic, stream(0, 200))
    world.ingest()
    send(world.topic, stream(200, 200))
    store = OnlineState(SHIPPED_FEATURES)
    follow_to_end(world.follower(store))  # as of message 400, the lake as of 200
    send(world.topic, stream(400, 200))
    again = follow_to_end(world.follower(store))
    assert (again.n_backfilled, again.n_events) == (0, 200)
    world.ingest()
    world.assert_equal(store)


def test_a_store_behind_the_lake_catches_up(world, send):
    send(world.topic, stream(0, 200))
    store = OnlineState(SHIPPED_FEATURES)
    follow_to_end(world.follower(store))
    send(world.topic, stream(200, 300))
    world.ingest()
    status = follow_to_end(world.follower(store))
    assert (status.n_backfilled, status.n_events) == (300, 0)
    world.assert_equal(store)


def test_a_store_of_another_stream_is_refused(world):
    store = OnlineState(SHIPPED_FEATURES)
    nothing = pl.DataFrame(schema={"user_id": pl.Int64, "ts": pl.Datetime("us", "UTC")})
    store.update(nothing, positions={"elsewhere/topic[0]": 5}, watermark_us=None)
    with pytest.raises(InputError, match=r"another stream, up to elsewhere/topic\[0\]"):
        follow_to_end(world.follower(store))


def test_an_event_is_seen_by_a_reader_soon_after_it_was_sent(world, send):
    store, stop = OnlineState(SHIPPED_FEATURES), threading.Event()
    running = threading.Thread(target=world.follower(store).run, args=(stop,))
    running.start()
    ((value, partition), *_) = stream(0, 1)
    event = msgspec.json.decode(value) | {"clicked": True}
    send(world.topic, [(msgspec.json.encode(event), partition)])
    later = int(datetime.now(UTC).timestamp() * 1e6)
    deadline = time.monotonic() + 120
    while not store.lookup("user_id", event["user_id"], at_us=later)["user_last_50_items"]:
        assert time.monotonic() < deadline, "it was never seen"
        time.sleep(0.01)
    stop.set()
    running.join()
