"""`recbench replay` as a user calls it, and what then stands in the topic."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from confluent_kafka import Consumer, TopicPartition

from recbench.cli import main
from recbench.datasets import load
from recbench.events.broker import embedded_broker, open_broker

RECBENCH = [sys.executable, "-c", "from recbench.cli import main; main()"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with embedded_broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return tmp_path


def replay(broker, *arguments):
    main(["replay", *map(str, arguments), "--bootstrap-servers", broker.bootstrap_servers])


def refused(*arguments):
    with pytest.raises(SystemExit) as leaving:
        main(["replay", *map(str, arguments)])
    return leaving.value.code


def received(broker, topic, n, *, timeout_s=120):
    """The topic's first ``n`` messages as dictionaries, each with its ``partition``."""
    consumer = Consumer(broker.client_settings() | {"group.id": "t"})
    places = broker.partitions_of(topic)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in places])
    found, deadline = [], time.monotonic() + timeout_s
    while len(found) < n and time.monotonic() < deadline:
        found += consumer.consume(1_000, timeout=0.2)
    found += consumer.consume(1_000, timeout=0.5)  # what there is more than that
    consumer.close()
    assert not any(message.error() for message in found)
    return [json.loads(one.value()) | {"partition": one.partition()} for one in found]


def test_every_event_of_a_file_is_in_the_topic_once(broker, workspace, tiny_log, capsys):
    facts = workspace / "facts.json"
    replay(broker, "--data", tiny_log, "--topic", "all", "--partitions", 3, "--json", facts)
    told = json.loads(facts.read_text())
    assert told["n_events"] == told["n_planned"] == 2_400
    assert told["n_duplicates"] == told["n_late"] == 0
    assert told["events_per_s"] == pytest.approx(2_400 / told["seconds"])
    assert "Sent 2,400 messages" in capsys.readouterr().out
    log = load(tiny_log, workspace=workspace).events
    messages = pl.DataFrame(received(broker, "all", 2_400))
    assert len(messages) == 2_400
    columns = ["event_id", "user_id", "item_id", "clicked"]
    sent = messages.sort("event_id")
    assert sent.select(columns).equals(log.select(columns).sort("event_id"))
    assert sent["arrival_ts"].equals(sent["ts"].alias("arrival_ts"))
    assert set(messages["partition"]) == {0, 1, 2}
    assert messages.group_by("user_id").agg(pl.col("partition").n_unique())["partition"].max() == 1


def test_a_part_of_the_log_is_sent(broker, workspace, tiny_log):
    replay(broker, "--data", tiny_log, "--topic", "part", "--from", 0.5, "--limit", 10)
    log = load(tiny_log, workspace=workspace).events
    expected = log["event_id"][1_200:1_210].to_list()  # half of 2,400 left out, ten of the rest
    assert sorted(one["event_id"] for one in received(broker, "part", 10)) == sorted(expected)


def test_late_events_say_when_they_arrived(broker, workspace, tiny_log):
    options = ["--limit", 20, "--late", 1, "--late-by", "2h"]
    replay(broker, "--data", tiny_log, "--topic", "late", *options)
    messages = received(broker, "late", 20)
    delays = {
        datetime.fromisoformat(one["arrival_ts"]) - datetime.fromisoformat(one["ts"])
        for one in messages
    }
    assert (len(messages), delays) == (20, {timedelta(hours=2)})


def test_shifted_events_end_now(broker, workspace, tiny_log):
    began = datetime.now(UTC)
    replay(broker, "--data", tiny_log, "--topic", "now", "--limit", 50, "--shift-to-now")
    times = [datetime.fromisoformat(one["ts"]) for one in received(broker, "now", 50)]
    assert began <= max(times) <= datetime.now(UTC)
    log = load(tiny_log, workspace=workspace).events["ts"][:50]
    assert max(times) - min(times) == log.max() - log.min()


def test_an_interrupted_replay_says_how_far_it_came(broker, workspace, tiny_log):
    facts = workspace / "facts.json"
    command = [*RECBENCH, "replay", "--data", str(tiny_log), "--topic", "slow"]
    command += ["--speed", "realtime", "--json", str(facts)]
    command += ["--bootstrap-servers", broker.bootstrap_servers]
    broker.create_topic("slow", partitions=1)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as sender:
        assert len(received(broker, "slow", 1)) == 1  # the next one is due in minutes
        sender.send_signal(signal.SIGINT)
        out, error = sender.communicate(timeout=120)
    assert sender.returncode == 130, error
    assert "Stopped: sent 1 of 2,400 messages" in out
    assert json.loads(facts.read_text())["n_events"] == 1


def test_a_broker_that_was_started_here_stays_until_ctrl_c(workspace, tiny_log):
    command = [*RECBENCH, "replay", "--data", str(tiny_log), "--limit", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        while "stays until Ctrl-C" not in (line := sender.stdout.readline()):
            assert line, "it ended"
        with open_broker(None, folder=workspace / "broker") as found:
            assert not found.ends_with_us
            assert len(received(found, "events", 5)) == 5
        sender.send_signal(signal.SIGINT)
        assert sender.wait(timeout=120) == 0
    assert not (workspace / "broker" / "broker.json").exists()


def test_a_broker_that_is_not_kept_ends_with_the_replay(workspace, tiny_log, capsys):
    main(["replay", "--data", str(tiny_log), "--limit", "5", "--no-keep-broker"])
    out = capsys.readouterr().out
    assert "an embedded broker at 127.0.0.1" in out
    assert "Sent 5 messages" in out
    assert "stays" not in out
    assert not (workspace / "broker" / "broker.json").exists()


def test_a_share_that_leaves_nothing_is_refused(broker, workspace, tiny_log, capsys):
    servers = ["--bootstrap-servers", broker.bootstrap_servers]
    assert refused("--data", tiny_log, "--from", 1, "--topic", "void", *servers) == 2
    assert "--from 1.0 leaves none of the 2400 events" in capsys.readouterr().err
    assert "void" not in broker.topics()


def test_a_message_that_the_broker_does_not_take_fails_the_command(broker, workspace, capsys):
    large = workspace / "large.parquet"
    row = {"user_id": [1], "item_id": [2], "ts": [datetime(2026, 1, 1, tzinfo=UTC)]}
    pl.DataFrame(row | {"category": ["x" * 2_000_000]}).write_parquet(large)
    servers = ["--bootstrap-servers", broker.bootstrap_servers]
    assert refused("--data", large, "--topic", "large", *servers) == 1
    error = capsys.readouterr().err
    assert f"The broker at {broker.bootstrap_servers} has not taken every message" in error
    assert "Message size too large" in error


def test_a_setting_that_librdkafka_does_not_know_is_refused(broker, workspace, tiny_log, capsys):
    servers = ["--bootstrap-servers", broker.bootstrap_servers, "-X", "no.such=1"]
    assert refused("--data", tiny_log, *servers) == 2
    assert 'refuses the settings (-X): No such configuration property: "no.such"' in (
        capsys.readouterr().err
    )
