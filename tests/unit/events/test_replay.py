"""The plan of a replay, and its sending to a real broker."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.broker import embedded_broker
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


@settings(deadline=None)
@given(
    seconds=st.lists(st.integers(0, 20), max_size=60),
    late=st.floats(0, 1),
    duplicates=st.floats(0, 1),
    seed=st.integers(0, 3),
)
def test_without_a_window_a_user_s_events_keep_their_order(seconds, late, duplicates, seed):
    plan = delivery_plan(events(seconds), Disorder(late=late, duplicates=duplicates), seed=seed)
    in_time = plan.filter(~pl.col("is_held_back") & ~pl.col("is_duplicate"))
    for _, rows in in_time.group_by(c.USER_ID):
        assert rows[c.EVENT_ID].is_sorted()  # numbered in the order of the log


def test_an_event_that_is_held_back_comes_behind_those_of_the_time_between():
    # 100 events a second apart, each held back by 10 s or not: a held one stands behind all that
    # were not and happened less than 10 s after it.
    plan = delivery_plan(
        events(range(100)), Disorder(late=0.2, late_by=timedelta(seconds=10)), seed=2
    )
    place = dict(zip(plan[c.EVENT_ID], range(100), strict=True))
    held = set(plan.filter("is_held_back")[c.EVENT_ID])
    assert 5 < len(held) < 40
    for event in held:
        between = [n for n in range(event + 1, min(event + 10, 100)) if n not in held]
        assert all(place[n] < place[event] for n in between)


def test_rates_do_not_change_each_other_s_draws():
    log = events(range(200))
    late = delivery_plan(log, Disorder(late=0.3), seed=1)
    both = delivery_plan(log, Disorder(late=0.3, duplicates=0.3), seed=1)
    firsts = both.filter(~pl.col("is_duplicate"))
    assert firsts.filter("is_held_back")[c.EVENT_ID].equals(late.filter("is_held_back")[c.EVENT_ID])


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


def test_a_plan_of_nothing_can_be_shifted_and_sent(broker, make_topic):
    plan = shifted_to(delivery_plan(events([]), Disorder()), datetime.now(UTC), speed=None)
    assert send(broker, make_topic(), plan).n_events == 0


@pytest.mark.parametrize("name", ["window", "late_by"])
def test_lengths_of_time_are_not_negative(name):
    with pytest.raises(InputError, match=f"`{name}` is a length of time.*got -1 day"):
        Disorder(**{name: timedelta(days=-1)})


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
    found, deadline = [], time.monotonic() + 120
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
    stop, began, told = threading.Event(), time.monotonic(), []

    def note(n):
        told.append(n)
        if sum(told) == 3:
            stop.set()

    sent = send(broker, topic, plan, speed=10.0, stop=stop, on_sent=note)
    assert sent.n_events == 3
    assert time.monotonic() - began >= 0.4
    assert len(received(broker, topic, partitions=1, n=3)) == 3


def test_what_is_stopped_before_it_begins_sends_nothing(broker, make_topic):
    stop = threading.Event()
    stop.set()
    plan = delivery_plan(events([0, 1]), Disorder())
    assert send(broker, make_topic(), plan, stop=stop).n_events == 0


def test_at_a_speed_each_event_is_told_of(broker, make_topic):
    told = []
    plan = delivery_plan(events([0, 1, 2]), Disorder())
    send(broker, make_topic(), plan, speed=100.0, on_sent=told.append)
    assert told == [1, 1, 1, 0]


def test_more_than_the_queue_holds_waits_for_the_broker(broker, make_topic):
    topic = make_topic()
    narrow = replace(broker, settings={"queue.buffering.max.messages": "100"})
    assert send(narrow, topic, delivery_plan(events(range(2_000)), Disorder())).n_events == 2_000
    found = received(broker, topic, partitions=1, n=2_000)
    assert [msgspec.json.decode(one.value())["event_id"] for one in found] == list(range(2_000))


def test_a_broker_that_is_gone_fails_the_replay(tmp_path):
    with embedded_broker(tmp_path) as started:
        started.create_topic("t", partitions=1)
        impatient = replace(started, settings={"message.timeout.ms": "500"})
        os.kill(json.loads((tmp_path / "broker.json").read_text())["pid"], signal.SIGKILL)
        with pytest.raises(KafkaException, match="_MSG_TIMED_OUT"):
            send(impatient, "t", delivery_plan(events([0, 1]), Disorder()))


def test_an_event_that_is_too_large_fails_the_replay(broker, make_topic):
    large = events([0]).with_columns(pl.lit("x" * 2_000_000).alias(c.CATEGORY))
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        send(broker, make_topic(), delivery_plan(large, Disorder()))


def test_settings_that_do_not_fit_a_producer_are_named(broker, make_topic):
    careless = replace(broker, settings={"acks": "1"})
    with pytest.raises(InputError, match="refuses the settings .*acks"):
        send(careless, make_topic(), delivery_plan(events([0]), Disorder()))
