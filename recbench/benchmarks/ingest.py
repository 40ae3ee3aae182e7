"""Kafka to the lake, beside a consumer that only counts the same messages."""

import tempfile
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recbench import columns as c
from recbench.benchmarks.result import BenchResult, medians
from recbench.benchmarks.streams import generated_stream
from recbench.benchmarks.visible import event_to_feature_ms
from recbench.errors import InputError, JobError
from recbench.events.broker import Broker, embedded_broker
from recbench.events.ingest import BatchLimits, Ingest
from recbench.events.intake import Intake, Taken
from recbench.events.messages import MessageDecoder, Messages
from recbench.events.reader import SETTINGS, TopicReader
from recbench.events.replay import Disorder, delivery_plan, send
from recbench.events.stream_tables import StreamTables

__all__ = ["run"]

TOPIC, N_PARTITIONS, AT_ONCE = "events", 4, 10_000
PACE, PACED_S = 10_000, 8  # events a second, seconds
KEYS = ("ours_s", "raw_s", "tuned_s")


def run(*, runs: int = 3, events: int = 1_000_000, seed: int = 0) -> BenchResult:
    """Time an ingester over generated events, and two consumers that only count them.

    All read the same topic of an embedded broker on the same cores, each from its first message to
    its last; the ingester to its last commit. ``vs_raw_consume`` is against a consumer with
    librdkafka's own settings, ``vs_tuned_consume`` against one with the ingester's. Joining a
    group, some seconds, is in none of them. ``event_to_feature_p99_ms`` is from the sending of an
    event to a lookup that counts it, at 10,000 events a second.

    Args:
        runs: how often; the three take turns.
        events: how many messages, of about 200 bytes.
        seed: of the generated events.

    Raises:
        InputError: ``runs`` or ``events`` below 1.
        JobError: the lake does not hold every event once.
    """
    if min(runs, events) < 1:
        raise InputError(f"`runs` and `events` must be at least 1, got {runs} and {events}")
    measured = []
    with tempfile.TemporaryDirectory() as folder, embedded_broker(Path(folder)) as broker:
        broker.create_topic(TOPIC, partitions=N_PARTITIONS)
        send(broker, TOPIC, delivery_plan(generated_stream(events, seed=seed), Disorder()))
        _counted_s(broker, events, settings={}, group="warm")  # the broker's first answers are slow
        for number in range(runs):
            lake = Path(folder) / f"lake-{number}"
            measured.append(
                {
                    "raw_s": _counted_s(broker, events, settings={}, group=f"raw-{number}"),
                    "tuned_s": _counted_s(
                        broker, events, settings=SETTINGS, group=f"tuned-{number}"
                    ),
                    "ours_s": _ingested_s(broker, events, lake=lake, group=f"ours-{number}"),
                }
            )
        delays_ms = event_to_feature_ms(
            broker, events_per_s=PACE, seconds=PACED_S, folder=Path(folder) / "visible"
        )
    seconds = medians(measured, keys=KEYS)
    figures = {
        "events_per_s": events / seconds["ours_s"],
        "vs_raw_consume": seconds["raw_s"] / seconds["ours_s"],
        "vs_tuned_consume": seconds["tuned_s"] / seconds["ours_s"],
        "event_to_feature_p50_ms": float(np.quantile(delays_ms, 0.5)),
        "event_to_feature_p99_ms": float(np.quantile(delays_ms, 0.99)),
    }
    return BenchResult("ingest", figures, measured)


def _counted_s(broker: Broker, n_events: int, *, settings: Mapping[str, Any], group: str) -> float:
    from confluent_kafka import Consumer, TopicPartition

    own = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer(dict(settings) | broker.client_settings() | own)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(N_PARTITIONS)])
    began, n_found = None, 0
    while n_found < n_events:
        n_found += len(consumer.consume(AT_ONCE, timeout=0.1))
        if began is None and n_found:
            began = time.perf_counter()
    ended = time.perf_counter()
    consumer.close()
    return ended - (began or ended)


def _ingested_s(broker: Broker, n_events: int, *, lake: Path, group: str) -> float:
    source = f"{broker.cluster_id()}/{TOPIC}"
    tables = StreamTables(lake, source)
    began: list[float] = []

    class TimedIntake(Intake):
        def take(self, messages: Messages) -> Taken:
            began.append(time.perf_counter())
            return super().take(messages)

    ingest = Ingest(
        tables,
        open_reader=lambda ownership: TopicReader(
            broker.client_settings(), TOPIC, group=group, ownership=ownership
        ),
        new_intake=lambda: TimedIntake(
            MessageDecoder(source), allowed_lateness=timedelta(minutes=5)
        ),
        limits=BatchLimits(),
        on_status=lambda _: None,
    )
    ingest.run(threading.Event(), until_end=True)
    ended = time.perf_counter()
    ids = tables.events.read().select(c.EVENT_ID).collect()[c.EVENT_ID]
    if len(ids) != n_events or ids.n_unique() != n_events:
        raise JobError(f"{len(ids)} rows with {ids.n_unique()} ids came of {n_events} events")
    return ended - began[0]
