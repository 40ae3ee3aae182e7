"""`recbench follow` as a user calls it, over a real broker and a real Redis."""

import json
import shutil
import socket
import subprocess
import time

import pytest

from recbench.cli import main
from recbench.events.broker import embedded_broker
from recbench.features.online import OnlineState
from recbench.features.online.redis_store import RedisStore
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.loopback import free_port
from recbench.tables.lake import LakeTable

QUICK_GROUP = ["-X", "session.timeout.ms=1500", "-X", "heartbeat.interval.ms=400"]
FAR_US = 4_000_000_000_000_000  # in the year 2096


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with embedded_broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    return tmp_path


@pytest.fixture
def redis_url(tmp_path):
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("needs redis-server, of Debian's package of that name")
    port = free_port()
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


def call(broker, *arguments):
    main([*map(str, arguments), "--bootstrap-servers", broker.bootstrap_servers])


def followed(broker, workspace, topic, *options):
    file = workspace / "follow.json"
    call(broker, "follow", "--topic", topic, "--until-end", "--json", file, *options)
    return json.loads(file.read_text())


def test_it_backfills_follows_saves_and_goes_on(broker, workspace, tiny_log, capsys):
    send = ["replay", "--data", tiny_log, "--topic", "one"]
    call(broker, *send, "--limit", 1_000)
    call(broker, "ingest", "--topic", "one", "--until-end", *QUICK_GROUP)
    call(broker, *send, "--from", 0.5, "--limit", 500)
    first = followed(broker, workspace, "one")
    assert (first["n_backfilled"], first["n_events"], first["lag"]) == (1_000, 500, 0)
    call(broker, *send, "--from", 0.8, "--limit", 300)
    second = followed(broker, workspace, "one")
    assert (second["n_backfilled"], second["n_events"]) == (0, 300)
    (saved,) = (workspace / "lake" / "one").glob("online-*.safetensors")
    state = OnlineState.restore(saved, SHIPPED_FEATURES)
    assert state.n_rows == 1_800
    assert sum(state.positions.values()) == 1_800
    assert "1,000 events backfilled, 500 followed" in capsys.readouterr().out


def test_redis_answers_what_the_embedded_state_does(broker, workspace, tiny_log, redis_url):
    call(broker, "replay", "--data", tiny_log, "--topic", "two")
    followed(broker, workspace, "two", "--redis", redis_url)
    followed(broker, workspace, "two")
    (saved,) = (workspace / "lake" / "two").glob("online-*.safetensors")
    state = OnlineState.restore(saved, SHIPPED_FEATURES)
    with RedisStore(redis_url, SHIPPED_FEATURES, name=f"two-{saved.stem}") as store:
        assert store.positions == state.positions
        for user in (1_000, 1_030, 77):
            served = store.lookup("user_id", user, at_us=FAR_US)
            assert served == state.lookup("user_id", user, at_us=FAR_US)
    assert not LakeTable(workspace / "lake" / "two" / "events").exists  # nobody ingested


def test_a_redis_that_does_not_answer_is_named(broker, workspace, tiny_log, capsys):
    call(broker, "replay", "--data", tiny_log, "--topic", "three", "--limit", 10)
    with pytest.raises(SystemExit) as leaving:
        followed(broker, workspace, "three", "--redis", "redis://127.0.0.1:1/0")
    assert leaving.value.code in {1, 2}
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_a_topic_that_does_not_exist_is_named(broker, workspace, capsys):
    with pytest.raises(SystemExit) as leaving:
        followed(broker, workspace, "nowhere")
    assert leaving.value.code == 2
    assert "no topic `nowhere`" in capsys.readouterr().err
