"""A data set as a stream: when each event is sent, and the sending.

The plan is a function of the events and a seed. Real streams are untidy, and so may this one be:
events swap places within a window, come twice, or come late.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

import numpy as np
import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.broker import Broker
from recbench.events.encode import encode_events

__all__ = ["Disorder", "Sent", "delivery_plan", "send", "shifted_to"]

MICROSECOND = timedelta(microseconds=1)
SEND_AT, IS_DUPLICATE, IS_HELD_BACK = "send_at", "is_duplicate", "is_held_back"
CHUNK = 20_000  # events encoded at a time
TOLD_EVERY = 1_000
FLUSH_S = 1.0  # no longer, or Ctrl-C is not heard
SETTINGS: dict[str, str | int | bool] = {
    "linger.ms": 5,
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "queue.buffering.max.messages": 200_000,
    "message.timeout.ms": 60_000,  # how long the broker may be away before the replay fails
    "delivery.report.only.error": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disorder:
    """How untidy the stream is; rates are shares of the events, in [0, 1]."""

    window: timedelta = timedelta(0)  # of event time, within which events may swap places
    duplicates: float = 0.0  # come once more, within the window or a second, whichever is longer
    late: float = 0.0
    late_by: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Refuse rates and lengths of time that are none."""
        for name in ("duplicates", "late"):
            rate = getattr(self, name)
            if not 0 <= rate <= 1:
                raise InputError(f"`{name}` is a share of the events, from 0 to 1; got {rate}")
        for name in ("window", "late_by"):
            length = getattr(self, name)
            if length < timedelta(0):
                raise InputError(f"`{name}` is a length of time, zero or more; got {length}")


@dataclass(frozen=True, slots=True)
class Sent:
    """What a replay has done, in messages."""

    n_events: int  # duplicates among them
    n_duplicates: int
    n_late: int  # held back; duplicates among them
    seconds: float

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return self.n_events / self.seconds if self.seconds else 0.0


def delivery_plan(events: pl.DataFrame, disorder: Disorder, *, seed: int = 0) -> pl.DataFrame:
    """The events in the order of sending, each at its ``send_at`` in event time.

    Further columns tell what is a duplicate and what was held back to come late. ``arrival_ts`` is
    ``send_at``: when the stream's reader would have known.

    Args:
        events: canonical, ordered by ``ts``.
        disorder: what may happen to them.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    n, window_us = len(events), disorder.window // MICROSECOND
    delay = rng.integers(0, window_us, n, endpoint=True)
    is_late = rng.random(n) < disorder.late
    delay = np.where(is_late, disorder.late_by // MICROSECOND, delay)
    twice = np.flatnonzero(rng.random(n) < disorder.duplicates)
    again = delay[twice] + rng.integers(1, max(window_us, 1_000_000), len(twice), endpoint=True)
    rows = np.concatenate([np.arange(n), twice])
    delays = pl.Series(np.concatenate([delay, again])).cast(pl.Duration("us"))
    plan = events[rows].with_columns(
        (pl.col(c.TS) + delays).alias(SEND_AT),
        pl.Series(IS_DUPLICATE, np.arange(len(rows)) >= n),
        pl.Series(IS_HELD_BACK, is_late[rows]),
    )
    return plan.with_columns(pl.col(SEND_AT).alias(c.ARRIVAL_TS)).sort(SEND_AT, maintain_order=True)


def shifted_to(plan: pl.DataFrame, now: datetime, *, speed: float | None) -> pl.DataFrame:
    """The plan moved in time, so that no event is ahead of the clock that it is sent by.

    At real time the first event happens now; at a higher speed, or flat out (None), the last one.
    """
    sent = pl.col(SEND_AT)
    anchor = sent.min() if speed is not None and speed <= 1 else sent.max()
    return plan.with_columns(
        pl.col(c.TS, c.ARRIVAL_TS, SEND_AT) + (pl.lit(now, c.INSTANT) - anchor)
    )


def send(
    broker: Broker,
    topic: str,
    plan: pl.DataFrame,
    *,
    speed: float | None = None,
    stop: Event | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Send the plan, users to partitions by the hash that Kafka's own clients use.

    Args:
        broker: has the topic.
        topic: where to.
        plan: of ``delivery_plan``.
        speed: event seconds a second; None sends as fast as the broker takes it.
        stop: ends the sending early when set; what was handed over is delivered first.
        on_sent: called with the number of messages handed over since the last call: every 1,000
            flat out, else each.

    Raises:
        InputError: librdkafka refuses a setting of the broker's.
        KafkaException: the broker has not taken a message.
    """
    delivery = _Delivery(broker)
    stop = stop or Event()
    told_every = TOLD_EVERY if speed is None else 1
    began = time.monotonic()
    first = plan[SEND_AT].min()
    n_sent = 0
    for chunk in plan.iter_slices(CHUNK):
        if stop.is_set():
            break
        keys = chunk[c.USER_ID].cast(pl.String).cast(pl.Binary).to_list()
        due = ((chunk[SEND_AT] - first).dt.total_microseconds() / 1e6).to_list()
        for key, value, due_s in zip(keys, encode_events(chunk), due, strict=True):
            if speed is not None and not _await(began + due_s / speed, delivery, stop=stop):
                break
            delivery.put(topic, key, value)
            n_sent += 1
            if not n_sent % told_every:
                on_sent(told_every)
        delivery.poll(0)
    on_sent(n_sent % told_every)
    delivery.finish()
    sent = plan.head(n_sent)
    return Sent(
        n_sent,
        int(sent[IS_DUPLICATE].sum()),
        int(sent[IS_HELD_BACK].sum()),
        time.monotonic() - began,
    )


class _Delivery:
    """A producer whose failures are raised."""

    def __init__(self, broker: Broker) -> None:
        self._failure: KafkaError | None = None
        own = SETTINGS | broker.client_settings() | {"on_delivery": self._note}
        try:
            self._producer = Producer(own)
        except KafkaException as error:
            why = error.args[0].str()
            raise InputError(f"librdkafka refuses the settings (-X): {why}") from error

    def put(self, topic: str, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key)
                return
            except BufferError:  # the broker is slower than we are: wait for it
                self.poll(0.1)

    def poll(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)
        if self._failure is not None:
            raise KafkaException(self._failure)

    def finish(self) -> None:
        while self._producer.flush(FLUSH_S):  # ends: each is taken, or fails when its time is over
            self.poll(0)
        self.poll(0)

    def _note(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error


def _await(due: float, delivery: _Delivery, *, stop: Event) -> bool:
    """Wait until ``due``; False when stopped before."""
    while (left := due - time.monotonic()) > 0:
        if stop.is_set():
            return False
        delivery.poll(min(left, 0.1))
    return True
