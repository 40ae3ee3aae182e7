"""The embedded broker, and how its users find it."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException

from recbench.errors import InputError
from recbench.events import broker as module
from recbench.events.broker import Broker, embedded_broker, open_broker


def test_who_comes_second_finds_the_broker_of_the_first(tmp_path):
    with open_broker(None, folder=tmp_path) as first:
        assert first.ends_with_us
        first.create_topic("there", partitions=3)
        with open_broker(None, folder=tmp_path) as second:
            assert not second.ends_with_us
            assert second.topics() == {"there": [0, 1, 2]}
        assert first.topics()  # the second one has not ended it
    assert not (tmp_path / "broker.json").exists()


def test_each_broker_is_a_cluster_of_its_own(tmp_path, broker):
    with embedded_broker(tmp_path) as another:
        assert another.cluster_id() != broker.cluster_id()


def test_it_listens_on_loopback_only(broker):
    port = int(broker.bootstrap_servers.rpartition(":")[2])
    listening = [
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.status == "LISTEN" and connection.laddr.port == port
    ]
    assert listening == ["127.0.0.1"]


@pytest.mark.parametrize(
    "note", ["no json", "{}", json.dumps({"bootstrap_servers": "127.0.0.1:1", "pid": os.getpid()})]
)
def test_a_stale_note_is_replaced(tmp_path, note):
    (tmp_path / "broker.json").write_text(note)
    with open_broker(None, folder=tmp_path) as started:
        told = json.loads((tmp_path / "broker.json").read_text())
        assert started.ends_with_us
        assert told["bootstrap_servers"] == started.bootstrap_servers


def test_two_brokers_in_one_folder_are_refused(tmp_path):
    with (
        embedded_broker(tmp_path),
        pytest.raises(InputError, match="A broker runs in"),
        embedded_broker(tmp_path),
    ):
        pass


def test_it_dies_with_its_parent_even_if_that_is_killed(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from recbench.events.broker import embedded_broker\n"
        "with embedded_broker(Path(sys.argv[1])):\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as parent:
        deadline = time.monotonic() + 30
        while not (tmp_path / "broker.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child = psutil.Process(json.loads((tmp_path / "broker.json").read_text())["pid"])
        parent.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs([child], timeout=10)[1]


def test_a_broker_that_does_not_start_shows_its_log(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho it went wrong >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(module, "tansu_binary", lambda _: broken)
    with (
        pytest.raises(InputError, match="does not start.*it went wrong"),
        embedded_broker(tmp_path / "folder"),
    ):
        pass


def test_a_binary_that_may_not_be_run_is_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    copy = module.tansu_binary(tmp_path)
    assert copy == tmp_path / "tansu"
    assert copy.stat().st_mode & 0o100


def test_an_address_without_a_broker_is_named(monkeypatch):
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    with pytest.raises(InputError, match="No broker answers at 127.0.0.1:1.*leave out"):
        Broker("127.0.0.1:1", "nobody").topics()


def test_a_topic_is_made_once_and_one_that_is_missing_is_named(broker, make_topic):
    topic = make_topic(partitions=2)
    assert broker.partitions_of(topic) == [0, 1]
    assert not broker.create_topic(topic, partitions=5)
    with pytest.raises(InputError, match=f"no topic `nowhere`; it has .*`{topic}`"):
        broker.partitions_of("nowhere")


def test_a_topic_that_the_broker_refuses_is_named(broker, monkeypatch):
    refused = Future()
    refused.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    answers = {"closed": refused}
    monkeypatch.setattr(module.AdminClient, "create_topics", lambda *_, **__: answers)
    with pytest.raises(InputError, match="refuses to make the topic `closed`: .*authorization"):
        broker.create_topic("closed", partitions=1)
