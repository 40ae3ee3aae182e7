"""An ingester killed at any moment loses nothing and doubles nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from confluent_kafka import Producer

from recbench.events.stream_tables import StreamTables

START = datetime.now(UTC) - timedelta(hours=1)
N_PARTITIONS = 4
QUICK_GROUP = ["-X", "session.timeout.ms=1500", "-X", "heartbeat.interval.ms=400"]


def message(number):
    ts = START + timedelta(milliseconds=number)
    event = {"event_id": number, "user_id": number % 97, "item_id": number % 13}
    return json.dumps(event | {"ts": ts.isoformat()}).encode()


def send(broker, n_events, *, seconds, every_bad=1_000, every_twice=50):
    """Events at an even pace; now and then one is sent twice, and now and then one is none."""
    producer = Producer(broker.client_settings() | {"linger.ms": 5})
    began = time.monotonic()
    for number in range(n_events):
        partition = number % N_PARTITIONS
        producer.produce("events", message(number), partition=partition)
        if number % every_twice == 0:
            producer.produce("events", message(number), partition=partition)
        if number % every_bad == 0:
            producer.produce("events", b"no event", partition=partition)
        if number % 500 == 0:
            producer.poll(0)
            ahead_s = number / n_events * seconds - (time.monotonic() - began)
            time.sleep(max(ahead_s, 0))
    assert producer.flush(120) == 0


def start(broker, workspace, *options):
    command = [sys.executable, "-c", "from recbench.cli import main; main()"]
    command += ["ingest", "--topic", "events"]
    command += ["--bootstrap-servers", broker.bootstrap_servers, "--batch-time", "100ms"]
    return subprocess.Popen(
        [*command, *QUICK_GROUP, *options],
        env=os.environ | {"RECBENCH_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def version(workspace):
    """The lake's latest; None before there is one."""
    events = StreamTables(workspace / "lake" / "events", "any").events
    return events.version if events.exists else None


def commits(workspace, known, *, sender, n_events):
    """Wait for another version than those; false where none comes, as all has been read."""
    until = time.monotonic() + 120
    while version(workspace) in known:
        if not sender.is_alive() and version(workspace) and n_read(workspace) == n_events:
            return False
        assert time.monotonic() < until, "nothing is committed"
        time.sleep(0.1)
    return True


def n_read(workspace):
    read = StreamTables(workspace / "lake" / "events", "any").events.read()
    return read.select(pl.len()).collect().item()


def assert_every_event_once(workspace, n_events, *, n_bad):
    tables = StreamTables(workspace / "lake" / "events", "any")
    read = tables.events.read().select("event_id", "kafka_partition", "kafka_offset").collect()
    assert len(read) == read["event_id"].n_unique() == n_events
    assert read["event_id"].min() == 0
    assert read["event_id"].max() == n_events - 1
    letters = tables.dead_letters.read().collect()
    places = letters.select("kafka_partition", "kafka_offset")
    assert len(letters) == places.n_unique() == n_bad
    assert set(letters["value"]) == {b"no event"}


@pytest.mark.long(90)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills_while_200_000_events_flow(broker, tmp_path):
    rng = random.Random(0)
    broker.create_topic("events", partitions=N_PARTITIONS)
    n_events, n_kills = 200_000, 20
    sender = threading.Thread(target=send, args=(broker, n_events), kwargs={"seconds": 40})
    sender.start()
    versions, goes_on = {None}, True
    for number in range(n_kills):
        with start(broker, tmp_path, "--compact-every", "1s") as ingester:
            if goes_on and number % 2:  # it comes to commit, however slow its start is here
                goes_on = commits(tmp_path, versions, sender=sender, n_events=n_events)
                time.sleep(rng.uniform(0, 1))
            else:
                time.sleep(rng.uniform(0.5, 4.5))
            assert ingester.poll() is None, ingester.stderr.read()
            ingester.kill()
        versions.add(version(tmp_path))
    sender.join()
    assert len(versions) > n_kills // 3, "most kills came before anything was committed"
    last = start(broker, tmp_path, "--until-end")
    out, error = last.communicate(timeout=120)
    assert last.returncode == 0, error
    assert "lag 0" in out
    assert_every_event_once(tmp_path, n_events, n_bad=n_events // 1_000)


@pytest.mark.slow
@pytest.mark.alone
def test_two_ingesters_share_the_topic_and_one_takes_over(broker, tmp_path):
    """The last one may wait a while: a leader that leaves while it joins is Tansu's for ever.

    ``recbench.events.group_rescue`` says how, and frees the group.
    """
    broker.create_topic("events", partitions=N_PARTITIONS)
    n_events = 20_000
    first, second = (start(broker, tmp_path, "--id", name) for name in ("first", "second"))
    _until(lambda: share_all(tmp_path, "first", "second"))
    sender = threading.Thread(target=send, args=(broker, n_events), kwargs={"seconds": 15})
    sender.start()
    _until(lambda: read_by(tmp_path) == 2)
    with first:
        first.kill()
    _until(lambda: share_all(tmp_path, "second"))
    third = start(broker, tmp_path, "--id", "third")
    _until(lambda: share_all(tmp_path, "second", "third"))
    for ingester in (second, third):
        ingester.send_signal(signal.SIGTERM)
    for ingester in (second, third):
        _, error = ingester.communicate(timeout=120)
        assert ingester.returncode == 0, error
    sender.join()
    last = start(broker, tmp_path, "--until-end")
    _, error = last.communicate(timeout=120)
    assert last.returncode == 0, error
    assert_every_event_once(tmp_path, n_events, n_bad=n_events // 1_000)


def share_all(workspace, *names):
    """Whether the ingesters hold all partitions, each as many."""
    folder = workspace / "lake" / "events" / "ingesters"
    paths = [folder / f"{name}.json" for name in names]
    held = [json.loads(path.read_text())["partitions"] for path in paths if path.exists()]
    every = sorted(partition for partitions in held for partition in partitions)
    each = {len(partitions) for partitions in held}
    return every == list(range(N_PARTITIONS)) and each == {N_PARTITIONS // len(names)}


def _until(holds, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)


def read_by(workspace):
    """How many of the ingesters committed anything, by their status files."""
    statuses = (workspace / "lake" / "events" / "ingesters").glob("*.json")
    return sum(json.loads(path.read_text())["n_commits"] > 0 for path in statuses)


@pytest.mark.slow
def test_two_ingesters_of_different_groups_add_every_event_once(broker, tmp_path):
    """Nobody shares anything: both read all partitions, and the lake takes each message once."""
    broker.create_topic("events", partitions=N_PARTITIONS)
    n_events = 20_000
    send(broker, n_events, seconds=0)
    options = ["--until-end", "--batch-rows", "1000"]
    both = [start(broker, tmp_path, "--group", name, *options) for name in ("one", "two")]
    for ingester in both:
        _, error = ingester.communicate(timeout=120)
        assert ingester.returncode == 0, error
    assert_every_event_once(tmp_path, n_events, n_bad=n_events // 1_000)


def test_sigterm_commits_what_was_read_and_leaves(broker, tmp_path):
    broker.create_topic("events", partitions=N_PARTITIONS)
    send(broker, 1_000, seconds=0)
    ingester = start(broker, tmp_path, "--batch-time", "1h")
    status = tmp_path / "lake" / "events" / "ingesters"
    _until(lambda: _has_read(status))
    ingester.send_signal(signal.SIGTERM)
    out, error = ingester.communicate(timeout=120)
    assert ingester.returncode == 0, error
    assert "stopped: 1,000 events" in out
    assert_every_event_once(tmp_path, 1_000, n_bad=1)


def _has_read(folder):
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return any(one["partitions"] and one["lag"] == 0 for one in found)
