"""The broker goes away and comes back: nothing is lost, and it is said meanwhile."""

import contextlib
import json
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Producer

from recbench.events.broker import Broker, tansu_binary
from recbench.events.stream_tables import StreamTables
from recbench.loopback import free_port

START = datetime.now(UTC) - timedelta(hours=1)


class Line:
    """A connection to the broker that can be cut and mended: a TCP relay on its address."""

    def __init__(self, target):
        self.port, self._target = free_port(), target
        self._thread, self._cut = None, threading.Event()

    def mend(self):
        self._cut.clear()
        listening = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._relay, args=(listening,))
        self._thread.start()

    def cut(self):
        self._cut.set()
        self._thread.join()

    def _relay(self, listening):
        with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as open_:
            open_.enter_context(listening)
            waiting.register(listening, selectors.EVENT_READ)
            peers = {}
            while not self._cut.is_set():
                for key, _ in waiting.select(0.05):
                    if key.fileobj is listening:
                        ours = open_.enter_context(listening.accept()[0])
                        theirs = open_.enter_context(
                            socket.create_connection(("127.0.0.1", self._target))
                        )
                        peers |= {ours: theirs, theirs: ours}
                        for end in (ours, theirs):
                            waiting.register(end, selectors.EVENT_READ)
                    else:
                        self._pass_on(key.fileobj, peers, waiting)

    @staticmethod
    def _pass_on(end, peers, waiting):
        try:
            data = end.recv(1 << 16)
            if data:
                peers[end].sendall(data)
                return
        except OSError:
            pass
        waiting.unregister(end)
        end.close()


@pytest.fixture
def line(tmp_path):
    """A broker that is reached over a line only."""
    port = free_port()
    line = Line(port)
    line.mend()
    url = "tcp://127.0.0.1:{}"
    command = [str(tansu_binary(tmp_path)), "broker", "--cluster-id", uuid.uuid4().hex]
    command += ["--listener-url", url.format(port)]
    command += ["--advertised-listener-url", url.format(line.port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tansu:
        _until(lambda: _answers(port))
        yield line
        line.cut()
        tansu.kill()


def test_an_ingester_waits_for_the_broker_and_goes_on(line, tmp_path, monkeypatch):
    broker = Broker(f"127.0.0.1:{line.port}", "a broker behind a line")
    broker.create_topic("events", partitions=1)
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path))
    command = [sys.executable, "-c", "from recbench.cli import main; main()", "ingest"]
    command += ["--bootstrap-servers", broker.bootstrap_servers, "--id", "one"]
    command += ["--batch-time", "100ms", "-X", "reconnect.backoff.max.ms=500"]
    ingester = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status = tmp_path / "lake" / "events" / "ingesters" / "one.json"
    _send(broker, range(100))
    _until(lambda: _told(status, "n_events") == 100)
    line.cut()
    _until(lambda: _told(status, "state") == "broker unreachable")
    line.mend()
    _until(lambda: _told(status, "state") == "running")  # though nothing new has come
    _send(broker, range(100, 200))
    _until(lambda: _told(status, "n_events") == 200)
    ingester.send_signal(signal.SIGTERM)
    _, error = ingester.communicate(timeout=120)
    assert ingester.returncode == 0, error
    read = StreamTables(tmp_path / "lake" / "events", "any").events.read().collect()
    assert sorted(read["event_id"].to_list()) == list(range(200))


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def _send(broker, numbers):
    producer = Producer(broker.client_settings() | {"reconnect.backoff.max.ms": 500})
    for number in numbers:
        event = {"event_id": number, "user_id": 1, "item_id": 2, "ts": START.isoformat()}
        producer.produce("events", json.dumps(event).encode())
    assert producer.flush(120) == 0


def _told(status, key):
    return json.loads(status.read_text())[key] if status.exists() else None


def _until(holds, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)
