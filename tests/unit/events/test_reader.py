"""The reader over a real broker."""

import time

from confluent_kafka.admin import AdminClient

from recbench.events.reader import Ownership, TopicReader

QUICK_GROUP = {"session.timeout.ms": 1_500, "heartbeat.interval.ms": 400}


def test_a_partition_that_comes_back_is_not_taken_for_one_made_anew(broker, make_topic, send):
    topic, starts = make_topic(), {0: 0}
    ownership = Ownership(lambda _: dict(starts), lambda: None, lambda: None)
    settings = broker.client_settings() | QUICK_GROUP
    reader = TopicReader(settings, topic, group=topic, ownership=ownership)
    _read(reader, until=reader.is_at_end)  # the broker has told that it ends at 0
    admin = AdminClient(broker.client_settings())
    admin.delete_consumer_groups([topic])[topic].result()
    _read(reader, until=lambda: not reader.at)
    send(topic, [(b"1", 0)] * 10)
    starts[0] = 10  # another member has read them meanwhile
    _read(reader, until=lambda: reader.at == {0: 10})
    send(topic, [(b"2", 0)])
    assert _read(reader, until=lambda: reader.at == {0: 11}) == [b"2"]
    reader.close()


def test_how_far_it_is_behind_is_unknown_until_the_broker_has_told(broker, make_topic, send):
    topic = make_topic()
    send(topic, [(b"1", 0)] * 10)
    ownership = Ownership(lambda _: {}, lambda: None, lambda: None)
    reader = TopicReader(broker.client_settings(), topic, group=None, ownership=ownership)
    before = reader.lag()
    assert _read(reader, until=lambda: reader.at == {0: 10}) == [b"1"] * 10
    assert (before, reader.lag()) == (None, 0)
    reader.close()


def _read(reader, *, until, seconds=200):
    values = []
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it never came about"
        values += reader.read(timeout_s=0.1).values
    return values
