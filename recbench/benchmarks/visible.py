"""How long after an event was sent a reader of the online features sees it."""

import multiprocessing
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.benchmarks.streams import generated_stream
from recbench.events.broker import Broker
from recbench.events.follow import Follower
from recbench.events.intake import Intake, Taken
from recbench.events.messages import MessageDecoder, Messages
from recbench.events.replay import SEND_AT, Disorder, delivery_plan, send
from recbench.events.stream_tables import StreamTables
from recbench.features.online.state import OnlineState
from recbench.features.online.store import Updated
from recbench.features.shipped import SHIPPED_FEATURES

__all__ = ["event_to_feature_ms"]

TOPIC, N_PARTITIONS = "visible", 4
Milliseconds = npt.NDArray[np.float64]


def event_to_feature_ms(
    broker: Broker, *, events_per_s: int, seconds: int, folder: Path
) -> Milliseconds:
    """(N,) for each event: milliseconds from its sending to an answer that counts it.

    Another process sends at an even pace; this one follows the topic into an online state with the
    shipped features and, after every update, looks up the user of the last event.

    Args:
        broker: takes a new topic.
        events_per_s: how many are sent.
        seconds: for how long.
        folder: an empty one.
    """
    broker.create_topic(TOPIC, partitions=N_PARTITIONS)
    source, stop, delays = f"{broker.cluster_id()}/{TOPIC}", threading.Event(), _Delays()
    n_events = events_per_s * seconds

    class TimedIntake(Intake):
        def take(self, messages: Messages) -> Taken:
            delays.sent_ms = np.asarray(messages.arrived_ms, dtype=np.float64)
            return super().take(messages)

    follower = Follower(
        delays,
        StreamTables(folder, source),
        settings=broker.client_settings(),
        topic=TOPIC,
        new_intake=lambda: TimedIntake(
            MessageDecoder(source), allowed_lateness=timedelta(minutes=5)
        ),
    )
    running = threading.Thread(target=follower.run, args=(stop,))
    running.start()
    sender = multiprocessing.get_context("spawn").Process(
        target=_send, args=(broker.bootstrap_servers, n_events, events_per_s)
    )
    sender.start()
    sender.join()
    deadline = time.monotonic() + seconds
    while delays.n_seen < n_events and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    running.join()
    return np.concatenate(delays.seen_ms)[n_events // 10 :]  # without the first connections


class _Delays:
    """A store that notes how old the messages of an update are once they can be looked up."""

    def __init__(self) -> None:
        self.sent_ms: Milliseconds = np.empty(0)
        self.seen_ms: list[Milliseconds] = []
        self.n_seen = 0
        self._state = OnlineState(SHIPPED_FEATURES)

    @property
    def positions(self) -> Mapping[str, int]:
        return self._state.positions

    def update(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> Updated:
        updated = self._state.update(events, positions=positions, watermark_us=watermark_us)
        self._state.lookup("user_id", events[c.USER_ID][-1], at_us=int(time.time() * 1e6))
        self.seen_ms.append(time.time() * 1e3 - self.sent_ms)
        self.n_seen += len(self.sent_ms)
        return updated


def _send(bootstrap_servers: str, n_events: int, events_per_s: int) -> None:
    plan = delivery_plan(generated_stream(n_events, seed=1), Disorder())
    now, gap = datetime.now(UTC), timedelta(seconds=1) / events_per_s
    times = pl.datetime_range(now, now + (n_events - 1) * gap, gap, time_unit="us", eager=True)
    plan = plan.with_columns(times.head(n_events).alias(name) for name in (c.TS, SEND_AT))
    send(Broker(bootstrap_servers, "the bench's"), TOPIC, plan, speed=1.0)
