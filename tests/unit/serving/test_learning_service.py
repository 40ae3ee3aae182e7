"""Shown, clicked, learnt, shown: a service and a learner with nothing between them but Kafka."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from recbench.events.broker import embedded_broker
from recbench.policy.snapshot import Snapshot, read_snapshot
from recbench.refresh import Registry

NOBODY = 0
LIKED = 10  # what everybody clicks; the tower puts it last
N = 150
WINDOW_S = 60.0  # to show ``N`` lists takes seconds, and many of them on a busy machine


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("learning")


@pytest.fixture(scope="module")
def broker(place):
    with embedded_broker(place / "broker") as started:
        yield started


def started(place, broker, served_toy):
    """A service of the toy release, with topics, workspace and snapshot of its own."""
    for what, partitions in (("shown", 2), ("acts", 1)):
        broker.create_topic(topic(place, what), partitions=partitions)
    registry = Registry(place / "registry")
    registry.publish(served_toy.seal(registry).release.manifest.release)
    return served_toy.RunningService(
        place,
        *("--policy", str(place / "policy.safetensors")),
        *("--decide", "rule=greedy,epsilon=0.4,candidates=4,least_events=100"),
        *("--policy-off", str(place / "off")),
        *("--bootstrap-servers", broker.bootstrap_servers, "--topic", topic(place, "shown")),
    ).until_ready()


def topic(place, what):
    return f"{place.name}-{what}"


@pytest.fixture(scope="module")
def service(place, broker, served_toy):
    running = started(place, broker, served_toy)
    yield running
    assert running.stop() == 0, running.said


def asked(service, n, *, first_user=1_000):
    return [service.recommend(user_id=first_user + user, k=2) for user in range(n)]


def click(place, broker, lists):
    """Everybody who was shown the liked item clicks it."""
    producer = Producer(broker.client_settings())
    for number, answer in enumerate(lists):
        if LIKED in [item["item_id"] for item in answer["items"]]:
            event = {"user_id": 1_000 + number, "item_id": LIKED, "ts": time.time_ns() // 1_000}
            event["request_id"] = int(answer["request_id"])
            producer.produce(topic(place, "acts"), json.dumps(event).encode())
    assert producer.flush(120) == 0


def until_logged(place, broker, service):
    """What was shown goes to Kafka beside the requests; lists are of two here."""
    answered = 'recbench_requests_total{route="recommend",status="200"}'
    service.until(lambda: n_queued(service) == 2 * service.metric(answered))
    queued, n_read = n_queued(service), 0
    consumer = Consumer(broker.client_settings() | {"group.id": "nobody"})
    parts = [TopicPartition(topic(place, "shown"), n, OFFSET_BEGINNING) for n in (0, 1)]
    consumer.assign(parts)
    while n_read < queued:
        row = consumer.poll(120)
        assert row is not None
        n_read += json.loads(row.value())["user_id"] != NOBODY
    consumer.close()


def n_queued(service):
    return service.metric('recbench_exposures_total{outcome="queued"}')


def pass_windows(place, broker, *, ahead_s):
    """One row of nobody's a partition, so much later than now."""
    producer = Producer(broker.client_settings())
    later = {"user_id": NOBODY, "item_id": 0, "ts": time.time_ns() // 1_000 + int(ahead_s * 1e6)}
    for what, partition in (("shown", 0), ("shown", 1), ("acts", 0)):
        producer.produce(topic(place, what), json.dumps(later).encode(), partition=partition)
    assert producer.flush(120) == 0


def learn(place, broker, *options):
    command = [sys.executable, "-c", "from recbench.cli import main; main()", "policy", "learn"]
    command += ["--out", str(place / "policy.safetensors"), "--until-end"]
    command += ["--window", f"{WINDOW_S:.0f}s"]
    command += ["--topic", topic(place, "shown"), "--topic", topic(place, "acts")]
    command += ["--allowed-lateness", "0s"]
    done = subprocess.run(
        [*command, "--bootstrap-servers", broker.bootstrap_servers, *options],
        env=os.environ | {"RECBENCH_WORKSPACE": str(place), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return read_snapshot(place / "policy.safetensors")[0]


def test_what_is_clicked_is_shown_first_once_it_was_learnt_and_is_not_learnt_twice(
    service, broker, place
):
    before = asked(service, N)
    firsts = [answer["items"][0] for answer in before]
    best = {item["item_id"] for item in firsts if item["propensity"] > 0.5}
    assert len(best) == 1  # nothing is learnt yet: the tower's order
    assert LIKED not in best
    share = np.mean([item["item_id"] in best for item in firsts])
    chance = 1 - 0.4 + 0.4 / 4
    assert {round(i["propensity"], 9) for i in firsts} == {round(chance, 9), round(0.1, 9)}
    assert abs(share - chance) < 4.5 * np.sqrt(chance * (1 - chance) / N)
    click(place, broker, before)
    service.until(lambda: service.metric("recbench_policy_slots_total") >= 2 * N)
    until_logged(place, broker, service)
    pass_windows(place, broker, ahead_s=WINDOW_S + 50)
    told = learn(place, broker)
    n_clicked = sum(LIKED in [i["item_id"] for i in answer["items"]] for answer in before)
    assert told["n_events"] == 2 * N
    assert told["reward_sum"] == n_clicked > 0
    assert (told["n_late"], told["n_unknown"], told["n_without_context"]) == (0, 0, 0)
    service.until(lambda: service.metric("recbench_policy_events") == told["n_events"])
    assert service.metric("recbench_policy_decides") == 1
    after = [answer["items"][0] for answer in asked(service, 60)]
    liked = [item for item in after if item["item_id"] == LIKED]
    assert len(liked) > 30
    assert all(item["propensity"] == pytest.approx(chance) for item in liked)
    until_logged(place, broker, service)
    pass_windows(place, broker, ahead_s=2 * WINDOW_S + 50)
    told = learn(place, broker)
    again = learn(place, broker)
    assert told["n_events"] == 2 * N + 2 * 60  # with what was shown since
    for name in ("n_events", "reward_sum", "offsets", "n_pending"):
        assert again[name] == told[name]


def test_switch_gives_the_lists_back_to_the_tower(service, place):
    (place / "off").touch()
    service.until(lambda: asked(service, 1)[0]["items"][0]["propensity"] is None)
    for answer in asked(service, 30):
        assert [item["propensity"] for item in answer["items"]] == [None, None]
        assert answer["items"][0]["item_id"] != LIKED
    (place / "off").unlink()


def taught(place, broker, service, *options, n_shown):
    """Show lists, have the liked item clicked, learn; what the first slots show afterwards."""
    lists = asked(service, N)
    click(place, broker, lists)
    service.until(lambda: service.metric("recbench_policy_slots_total") >= n_shown)
    until_logged(place, broker, service)
    ahead_s = WINDOW_S + 0.5  # what is shown half a second from now is within
    pass_windows(place, broker, ahead_s=ahead_s)
    told = learn(place, broker, *options)
    service.until(lambda: service.metric("recbench_policy_events") == told["n_events"])
    firsts = [answer["items"][0]["item_id"] for answer in asked(service, 60)]
    until_logged(place, broker, service)
    return firsts


@pytest.fixture
def neural(place, broker, served_toy):
    """A service for a neural-linear policy, and its place."""
    own = place / "neural"
    own.mkdir()
    running = started(own, broker, served_toy)
    yield running, own
    assert running.stop() == 0, running.said


@pytest.mark.long(45)
@pytest.mark.slow
def test_neural_policy_decides_until_the_towers_are_fitted_anew_and_learns_those(
    neural, broker, served_toy
):
    service, place = neural
    path, options = place / "policy.safetensors", ("--neural", "--relearn-every", "100")
    for n_shown in (2 * N, 4 * N + 2 * 60):  # no network knows what a rate is worth while all are 0
        firsts = taught(place, broker, service, *options, n_shown=n_shown)
    first = Snapshot.read(path)
    assert first.network is not None
    assert firsts.count(LIKED) > 30  # .7 of them: the rule, and chance among four

    registry = Registry(place / "registry")
    later = served_toy.seal(registry, created="2026-01-03T00:00:00+00:00").release.manifest
    registry.publish(later.release)
    # asks for no lists: shown thousands of times without a click, what is liked would be no more
    service.until(lambda: service.get("/release").json["release"] == later.release, seconds=240)
    service.until(lambda: service.metric("recbench_policy_decides") == 0)
    assert f"has learnt on {first.towers}, and release {later.release}" in service.said
    firsts = [answer["items"][0] for answer in asked(service, 30)]
    assert all(item["propensity"] < 0.5 for item in firsts if item["item_id"] == LIKED)

    shown_so_far = int(service.metric("recbench_policy_slots_total"))
    firsts = taught(place, broker, service, *options, n_shown=shown_so_far + 2 * N)
    assert Snapshot.read(path).towers == later.release
    assert firsts.count(LIKED) > 30
