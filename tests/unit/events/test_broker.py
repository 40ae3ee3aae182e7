"""The embedded broker, and how its users find it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
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
    "note",
    ["no json", "{}", json.dumps({"bootstrap_servers": "127.0.0.1:1", "pid": os.getpid()})],
    ids=["no json", "no address", "of a process that is no broker"],
)
def test_a_stale_note_is_replaced(tmp_path, note):
    (tmp_path / "broker.json").write_text(note)
    with open_broker(None, folder=tmp_path) as started:
        told = json.loads((tmp_path / "broker.json").read_text())
        assert started.ends_with_us
        assert told["bootstrap_servers"] == started.bootstrap_servers


def test_all_that_start_at_once_share_one_broker(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from recbench.events.broker import open_broker\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with open_broker(None, folder=Path(sys.argv[1])) as broker:\n"
        "    print(broker.cluster_id(), broker.ends_with_us, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, **pipes) as one,
        subprocess.Popen(command, **pipes) as another,
    ):
        both = (one, another)
        assert [each.stdout.readline() for each in both] == ["ready\n"] * 2
        with module._locked(tmp_path):  # so that both have to wait for each other
            for each in both:
                each.stdin.write("go\n")
                each.stdin.flush()
            _until_waiting(tmp_path / "broker.lock", pids={each.pid for each in both})
        told = [each.stdout.readline().split() for each in both]
        assert told[0][0] == told[1][0]
        assert sorted(starts for _, starts in told) == ["False", "True"]
        for each in both:
            each.stdin.close()
    assert (one.returncode, another.returncode) == (0, 0)


def _until_waiting(lock, *, pids):
    """Until all of ``pids`` have opened the file, whose lock the test holds."""
    deadline = time.monotonic() + 120
    while not all(
        str(lock) in {opened.path for opened in psutil.Process(pid).open_files()} for pid in pids
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_broker_that_does_not_answer_is_not_replaced(tmp_path, monkeypatch):
    with embedded_broker(tmp_path):
        monkeypatch.setattr(module, "ANSWER_S", 0.5)
        monkeypatch.setattr(module, "SLOW_S", 0.5)
        pid = json.loads((tmp_path / "broker.json").read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        said = f"No answer from .* process {pid}; end that process"
        with pytest.raises(InputError, match=said), open_broker(None, folder=tmp_path):
            pass


def test_a_broker_that_stands_still_for_a_while_is_waited_for(tmp_path, monkeypatch):
    with embedded_broker(tmp_path) as broker:
        monkeypatch.setattr(module, "ANSWER_S", 0.2)
        pid = json.loads((tmp_path / "broker.json").read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        going_on = threading.Timer(1.5, os.kill, (pid, signal.SIGCONT))
        going_on.start()
        assert broker.topics() == {}
        going_on.join()


def test_the_note_of_a_broker_that_came_after_stays(tmp_path):
    with embedded_broker(tmp_path) as first:
        pid = json.loads((tmp_path / "broker.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)], timeout=120)
        later = json.dumps({"bootstrap_servers": "127.0.0.1:1", "pid": 1})
        (tmp_path / "broker.json").write_text(later)
    assert first.ends_with_us
    assert (tmp_path / "broker.json").read_text() == later


def test_a_folder_that_is_deleted_meanwhile_is_not_made_again(tmp_path):
    with embedded_broker(tmp_path / "gone"):
        shutil.rmtree(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()


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
        deadline = time.monotonic() + 120
        while not (tmp_path / "broker.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child = psutil.Process(json.loads((tmp_path / "broker.json").read_text())["pid"])
        parent.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs([child], timeout=120)[1]


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


def test_an_address_without_a_broker_is_named_and_nothing_spills(monkeypatch, capfd):
    monkeypatch.setattr(module, "ANSWER_S", 0.5)
    with pytest.raises(InputError, match="at 127.0.0.1:1: .*Connection refused.* leave out"):
        Broker("127.0.0.1:1", "nobody").topics()
    assert capfd.readouterr() == ("", "")  # librdkafka writes its own lines to stderr


def test_settings_reach_every_client_of_the_workspace_s_broker(tmp_path):
    quick = {"session.timeout.ms": "1500"}
    with open_broker(None, folder=tmp_path, settings=quick) as first:
        assert first.client_settings()["session.timeout.ms"] == "1500"
        with open_broker(None, folder=tmp_path) as second:
            assert "session.timeout.ms" not in second.client_settings()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"no.such": "1"}, 'refuses the settings .*"no.such"'),
        ({"linger.ms": "soon"}, 'refuses the settings .*"queue.buffering.max.ms"'),
    ],
)
def test_a_setting_that_librdkafka_refuses_is_named(broker, tmp_path, setting, said):
    opened = open_broker(broker.bootstrap_servers, folder=tmp_path, settings=setting)
    with pytest.raises(InputError, match=said), opened:
        pass


def test_a_topic_is_made_once_and_one_that_is_missing_is_named(broker, make_topic):
    topic = make_topic(partitions=2)
    assert broker.partitions_of(topic) == [0, 1]
    assert not broker.create_topic(topic, partitions=5)
    with pytest.raises(InputError, match=f"no topic `nowhere`; it has .*`{topic}`"):
        broker.partitions_of("nowhere")


def test_a_topic_that_another_one_made_meanwhile_is_taken(broker, make_topic, monkeypatch):
    topic = make_topic()
    monkeypatch.setattr(Broker, "topics", lambda _: {})  # what was seen before
    assert not broker.create_topic(topic, partitions=1)


def test_a_topic_that_the_broker_refuses_is_named(broker, monkeypatch):
    refused = Future()
    refused.set_exception(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))
    answers = {"closed": refused}
    monkeypatch.setattr(module.AdminClient, "create_topics", lambda *_, **__: answers)
    with pytest.raises(InputError, match="refuses to make the topic `closed`: .*authorization"):
        broker.create_topic("closed", partitions=1)
