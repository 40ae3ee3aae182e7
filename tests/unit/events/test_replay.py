"""The plan of a replay, and its sending to a real broker."""

import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.replay import Disorder, delivery_plan, send, shifted_to

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(seconds):
    seconds = sorted(seconds)
    return pl.DataFrame(
        {
            c.EVENT_ID: range(len(seconds)),
            c.USER_ID: [n % 3 for n in range(len(seconds))],
            c.ITEM_ID: [1] * len(seconds),
            c.TS: [START + timedelta(seconds=second) for second in seconds],
        },
        schema_overrides={c.TS: c.INSTANT},
    )


@settings(deadline=None)
@given(
    seconds=st.lists(st.integers(0, 1_000), min_size=1, max_size=60),
    window_s=st.integers(0, 50),
    duplicates=st.floats(0, 1),
    late=st.floats(0, 1),
    seed=st.integers(0, 3),
)
def test_a_plan_sends_every_event_once_and_its_duplicates(
    seconds, window_s, duplicates, late, seed
):
    log = events(seconds)
    disorder = Disorder(
        window=timedelta(seconds=window_s),
        duplicates=duplicates,
        late=late,
        late_by=timedelta(hours=1),
    )
    plan = delivery_plan(log, disorder, seed=seed)
    assert plan.equals(delivery_plan(log, disorder, seed=seed))
    firsts = plan.filter(~pl.col("is_duplicate"))
    assert sorted(firsts[c.EVENT_ID]) == log[c.EVENT_ID].to_list()
    assert plan["send_at"].is_sorted()
    assert plan[c.ARRIVAL_TS].equals(plan["send_at"].alias(c.ARRIVAL_TS))
    delays = firsts["send_at"] - firsts[c.TS]
    held_back = firsts["is_held_back"]
    assert (delays.filter(held_back) == timedelta(hours=1)).all()
    assert (delays.filter(~held_back) <= disorder.window).all()
    twice = plan.filter("is_duplicate").join(firsts, on=c.EVENT_ID)
    assert (twice["send_at"] > twice["send_at_right"]).all()


def test_without_disorder_the_plan_is_the_log():
    log = events([5, 5, 1, 9])
    assert delivery_plan(log, Disorder())[c.EVENT_ID].to_list() == [0, 1, 2, 3]


@pytest.mark.parametrize(("speed", "first_s"), [(1.0, 0), (10.0, -100), (None, -100)])
def test_shifted_times_are_never_ahead_of_the_clock(speed, first_s):
    now = datetime(2030, 1, 1, tzinfo=UTC)
    plan = shifted_to(delivery_plan(events([0, 100]), Disorder()), now, speed=speed)
    first = now + timedelta(seconds=first_s)
    assert plan[c.TS].to_list() == [first, first + timedelta(seconds=100)]
    assert plan["send_at"].equals(plan[c.TS].alias("send_at"))


@pytest.mark.parametrize("rates", [{"late": -0.1}, {"duplicates": 1.5}])
def test_rates_are_shares(rates):
    ((name, rate),) = rates.items()
    with pytest.raises(InputError, match=f"`{name}` is a share.*got {rate}"):
        Disorder(**rates)


def received(broker, topic, *, partitions, n):
    consumer = Consumer(
        broker.client_settings() | {"group.id": "r", "auto.offset.reset": "earliest"}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found, deadline = [], time.monotonic() + 30
    while len(found) < n and time.monotonic() < deadline:
        found += consumer.consume(1_000, timeout=0.2)
    consumer.close()
    return found


def test_what_is_sent_is_received_each_user_in_one_partition(broker, make_topic):
    topic = make_topic(partitions=3)
    plan = delivery_plan(events(range(2_500)), Disorder(duplicates=0.1), seed=1)
    told = []
    sent = send(broker, topic, plan, on_sent=told.append)
    assert sent.n_events == sum(told) == len(plan)
    assert sent.n_duplicates == plan["is_duplicate"].sum() > 100
    messages = received(broker, topic, partitions=3, n=len(plan))
    by_user = {(message.key(), message.partition()) for message in messages}
    assert len(by_user) == 3
    ids = [msgspec.json.decode(message.value())["event_id"] for message in messages]
    assert sorted(ids) == sorted(plan[c.EVENT_ID])


def test_a_replay_at_a_speed_takes_its_time_and_can_be_stopped(broker, make_topic):
    topic = make_topic()
    plan = delivery_plan(events([0, 2, 4, 9_999]), Disorder())
    stop, began = threading.Event(), time.monotonic()
    threading.Timer(1.0, stop.set).start()
    sent = send(broker, topic, plan, speed=10.0, stop=stop)
    assert sent.n_events == 3
    assert time.monotonic() - began >= 0.4
    assert len(received(broker, topic, partitions=1, n=3)) == 3
