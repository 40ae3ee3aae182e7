"""`recbench ingest` and `recbench replay` as a user calls them, over a real broker."""

import json

import pytest

from recbench.cli import main
from recbench.datasets import load
from recbench.events.broker import embedded_broker
from recbench.events.stream_tables import StreamTables

QUICK_GROUP = ["-X", "session.timeout.ms=1500", "-X", "heartbeat.interval.ms=400"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with embedded_broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return tmp_path


def call(broker, *arguments):
    return main([*map(str, arguments), "--bootstrap-servers", broker.bootstrap_servers])


def refused(*arguments):
    with pytest.raises(SystemExit) as leaving:
        main([*map(str, arguments)])
    return leaving.value.code


def test_a_data_set_goes_to_the_topic_and_into_the_lake(broker, workspace, tiny_log, capsys):
    sent, read = workspace / "sent.json", workspace / "read.json"
    options = ["--duplicates", 0.1, "--late", 0.05, "--late-by", "2d", "--shuffle-window", "1h"]
    call(broker, "replay", "--data", tiny_log, "--topic", "tiny", *options, "--json", sent)
    facts = json.loads(sent.read_text())
    assert facts["n_events"] == 2_400 + facts["n_duplicates"]
    assert facts["n_duplicates"] > 100
    call(
        broker, "ingest", "--topic", "tiny", "--until-end", "--allowed-lateness", "1d",
        *QUICK_GROUP, "--json", read,
    )  # fmt: skip
    status = json.loads(read.read_text())
    assert (status["n_events"], status["n_duplicates"]) == (2_400, facts["n_duplicates"])
    assert 0 < status["n_late"] <= facts["n_late"]
    out = capsys.readouterr().out
    assert "new topic `tiny`" in out
    assert "stopped: 2,400 events" in out
    lake = StreamTables(workspace / "lake" / "tiny", "any").events.read().collect()
    log = load(tiny_log, workspace=workspace).events
    columns = ["event_id", "user_id", "item_id", "ts", "clicked"]
    assert lake.select(columns).sort("event_id").equals(log.select(columns).sort("event_id"))


def test_a_tracked_ingester_is_a_run(broker, workspace, tiny_log, monkeypatch):
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    run = workspace / "run"
    run.mkdir()
    monkeypatch.setenv("RECBENCH_RUN_DIR", str(run))
    call(broker, "replay", "--data", tiny_log, "--topic", "tracked", "--limit", 20)
    call(broker, "ingest", "--topic", "tracked", "--until-end", "--track", *QUICK_GROUP)
    summary = json.loads((run / "metrics.json").read_text())
    assert (summary["n_events"], summary["state"]) == (20, "stopped")
    points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert points[-1]["metrics"]["n_events"] == 20


def test_a_stream_of_the_lake_is_a_data_set(broker, workspace, tiny_log):
    call(broker, "replay", "--data", tiny_log, "--topic", "again", "--limit", 500)
    call(broker, "ingest", "--topic", "again", "--until-end", *QUICK_GROUP)
    log = load(workspace / "lake" / "again" / "events", workspace=workspace / "other")
    assert len(log.events) == 500


def test_a_topic_that_does_not_exist_is_named_with_those_that_do(broker, workspace, capsys):
    broker.create_topic("there", partitions=1)
    servers = ["--bootstrap-servers", broker.bootstrap_servers]
    assert refused("ingest", "--topic", "nowhere", *servers) == 2
    error = capsys.readouterr().err
    assert "no topic `nowhere`" in error
    assert "`there`" in error


def test_a_broker_that_does_not_answer_is_named(workspace, capsys):
    assert refused("ingest", "--bootstrap-servers", "127.0.0.1:1") == 2
    assert "No broker answers at 127.0.0.1:1" in capsys.readouterr().err


def test_a_second_ingester_of_one_id_is_refused(broker, workspace, capsys):
    import fcntl

    folder = workspace / "lake" / "events" / "ingesters"
    folder.mkdir(parents=True)
    with (folder / "one.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        servers = ["--bootstrap-servers", broker.bootstrap_servers]
        assert refused("ingest", "--id", "one", *servers) == 2
    assert "id `one` is running already" in capsys.readouterr().err


def test_ids_of_two_kinds_are_not_mixed(broker, workspace, tiny_log, capsys):
    call(broker, "replay", "--data", tiny_log, "--topic", "kinds", "--limit", 10)
    call(broker, "ingest", "--topic", "kinds", "--until-end", *QUICK_GROUP)
    servers = ["--bootstrap-servers", broker.bootstrap_servers]
    assert refused("ingest", "--topic", "kinds", "--ids", "string", *servers) == 2
    assert "ids of the kind `int`; go on with --ids int" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingest", "--stream", "../up"], "--stream must be letters"),
        (["ingest", "--id", "a/b"], "--id must be letters"),
        (["ingest", "-X", "nothing"], "-X takes KEY=VALUE, got 'nothing'"),
        (["ingest", "--field", "rating"], "--field takes NAME:TYPE, of int, float, string, bool"),
        (["ingest", "--batch-time", "soon"], "'soon' is no length of time"),
        (["replay", "--data", "x", "--speed", "quick"], "'quick' is no speed"),
        (["replay", "--data", "x", "--duplicates", "2"], "2.0 is not in the range"),
    ],
)
def test_what_cannot_be_meant_is_refused(workspace, arguments, said, capsys):
    assert refused(*arguments) == 2
    assert said in capsys.readouterr().err


def test_a_data_set_that_is_not_there_sends_nothing(broker, workspace, capsys):
    servers = ["--bootstrap-servers", broker.bootstrap_servers]
    assert refused("replay", "--data", "nothing.parquet", "--topic", "none", *servers) == 2
    assert "nothing.parquet" in capsys.readouterr().err
