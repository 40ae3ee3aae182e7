"""A real broker for the tests of events."""

import uuid

import pytest
from confluent_kafka import Producer

from recbench.events.broker import embedded_broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """One embedded broker for the tests of a file; each makes topics of its own."""
    with embedded_broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


@pytest.fixture
def make_topic(broker):
    """A function that makes a new topic and returns its name."""

    def make(*, partitions=1):
        name = f"topic-{uuid.uuid4().hex[:8]}"
        broker.create_topic(name, partitions=partitions)
        return name

    return make


@pytest.fixture
def send(broker):
    """A function that sends (value, partition) pairs to a topic and waits for all of them."""
    producer = Producer(broker.client_settings() | {"linger.ms": 5})

    def send_all(topic, messages):
        for number, (value, partition) in enumerate(messages):
            producer.produce(topic, value, partition=partition)
            if number % 10_000 == 0:
                producer.poll(0)
        assert producer.flush(120) == 0

    return send_all
