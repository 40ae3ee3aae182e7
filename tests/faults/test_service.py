"""A service whose parts fail or change while it is asked: all is answered as documented."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import psutil
import pytest
from confluent_kafka import Consumer

from recbench import columns as c
from recbench.events.broker import embedded_broker
from recbench.features.online import OnlineState
from recbench.features.online.redis_store import RedisStore
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.refresh import Registry
from recbench.serving import ReleasedRecommender


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


def publish(registry, served_toy, number, **more):
    """A further release, told from the others by what is popular in it."""
    created = f"2026-01-02T00:00:{number:02}+00:00"
    popularity = np.roll([0.5, 0.25, 2.0, 1.0], number) + number
    sealed = served_toy.seal(registry, created=created, popularity=popularity, **more)
    return registry.publish(sealed.release.manifest.release)


def clicked(user, item, *, ago):
    """A click as the follower takes it in."""
    row = {c.EVENT_ID: user * 100 + item, c.USER_ID: user, c.ITEM_ID: item, c.CLICKED: True}
    row |= {c.TS: datetime.now(UTC) - ago, c.WATCH_MS: None, c.CATEGORY: None}
    types = {name: c.EVENT_DTYPES[name] for name in row}
    return pl.DataFrame([row], schema=types)


def items_of(reply):
    return [item["item_id"] for item in reply["items"]]


def serves(service, worker, release):
    return service.metric(f'recbench_release_info{{worker="{worker}",release="{release}"}}')


def laying_out(service):
    """The processes that lay out what is served next."""
    children = psutil.Process(service.process.pid).children()
    return [one for one in children if "recbench.serving.standby" in one.cmdline()]


def test_no_request_fails_and_none_is_mixed_while_releases_change(serve, registry, served_toy):
    service = serve("--workers", "2")
    lists, failures, stop = [], [], threading.Event()

    def ask(user):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
        while not stop.is_set():
            reply = service.post("/recommend", {"user_id": user}, connection=connection)
            if reply.status == 200:
                lists.append((user, reply.json))
            else:
                failures.append(reply)
            time.sleep(0.002)  # what lays a release out has idle time only
        connection.close()

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask, user) for user in (1, 2, 99, 98)]
        try:
            for number in range(1, 5):
                release = publish(registry, served_toy, number).manifest.release
                service.until(lambda r=release: all(serves(service, n, r) for n in (0, 1)))
        finally:
            stop.set()
        for future in asking:
            future.result()
    assert failures == []
    service.until(lambda: service.metric("recbench_swaps_total") == 8)  # four, in each worker
    expected = {}
    for manifest in registry.releases():
        offline = ReleasedRecommender.load(registry.open(manifest.release))
        frame = offline.recommend(np.array([1, 2, 99, 98]), k=20)
        for (user,), rows in frame.group_by(c.USER_ID):
            scored = list(zip(rows[c.ITEM_ID], rows[c.SCORE], strict=True))
            expected[manifest.release, user] = scored
    for user, reply in lists:
        scored = [(item["item_id"], item["score"]) for item in reply["items"]]
        assert scored == expected[reply["release"], user]
    assert len({reply["release"] for _, reply in lists}) == 5
    assert service.stop() == 0


def test_a_corrupted_release_is_refused_and_the_old_one_stays(serve, registry, served_toy):
    service = serve()
    first = registry.current()
    sealed = served_toy.seal(registry, created="2026-01-03T00:00:00+00:00").release
    registry.publish(sealed.manifest.release)
    damaged = sealed.folder / "query_tower.onnx"
    service.until(lambda: service.get("/release").json["release"] != first)
    third = served_toy.seal(registry, created="2026-01-04T00:00:00+00:00").release
    damaged = third.folder / "query_tower.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    pointer = {"release": third.manifest.release, "earlier": []}
    (registry.path / "current").write_text(json.dumps(pointer))
    service.until(lambda: service.metric("recbench_refused_total") == 1)
    ready = service.get("/health/ready")
    assert ready.status == 200
    assert ready.json["release"] == sealed.manifest.release
    assert "query_tower.onnx is not the file that was released" in ready.json["refused"]
    assert service.recommend(user_id=1)["release"] == sealed.manifest.release


def test_on_a_full_disk_the_old_release_stays_until_there_is_room(
    small_disk, serve, registry, served_toy
):
    disk, enlarge = small_disk
    service = serve(environment={"TMPDIR": str(disk)})
    first = service.get("/release").json["release"]
    with suppress(OSError), (disk / "fill").open("wb", buffering=0) as fill:
        while fill.write(bytes(4096)):
            pass
    publish(registry, served_toy, 1)
    service.until(lambda: service.metric("recbench_refused_total") == 1)
    refused = service.get("/health/ready").json["refused"]
    assert f"cannot be laid out in {disk}" in refused
    assert "No space left" in refused
    assert service.recommend(user_id=1)["release"] == first
    enlarge()
    third = publish(registry, served_toy, 2).manifest.release
    service.until(lambda: service.get("/release").json["release"] == third)
    assert service.recommend(user_id=1)["release"] == third


def test_what_lays_releases_out_is_replaced_when_it_is_killed(serve, registry, served_toy):
    service = serve()
    service.until(lambda: laying_out(service))
    (killed,) = laying_out(service)
    killed.kill()
    release = publish(registry, served_toy, 1).manifest.release
    service.until(lambda: service.get("/release").json["release"] == release)
    (instead,) = laying_out(service)
    assert instead != killed


def test_without_a_release_it_lives_but_is_not_ready_until_one_comes(serve, registry, served_toy):
    service = serve(release=False)
    service.until(lambda: _answers(service.port))
    assert service.get("/health/live").status == 200
    assert service.get("/health/ready").status == 503
    reply = service.post("/recommend", {"user_id": 1})
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert "no release is loaded yet" in reply.json["error"]
    publish(registry, served_toy, 1)
    service.until(lambda: service.get("/health/ready").status == 200)
    assert service.recommend(user_id=1)["items"]


def test_a_store_that_is_away_gives_popularity_until_it_is_back(serve, redis_server):
    options = ["--redis", redis_server.url, "--store", "toy"]
    service = serve(*options)

    def gets(fallback, item_ids, reason=None):
        answer = service.recommend(user_id=2)
        is_for_it = reason is None or reason in (answer["reason"] or "")
        return is_for_it and (answer["fallback"], items_of(answer)) == (fallback, item_ids)

    # it is given 50 ms to answer: now and then a store that is there takes longer
    service.until(lambda: gets("popularity", [40, 10, 20], "no store called 'toy'"))

    def write():
        with RedisStore(redis_server.url, SHIPPED_FEATURES, name="toy") as store:
            store.update(clicked(2, 40, ago=timedelta(seconds=1)))

    write()
    # 30 by the release, 40 by the store: (1, 1, 0, 9) + (4, 3, 2, 0)
    service.until(lambda: gets(None, [10, 20]))
    redis_server.stop()
    service.until(lambda: gets("popularity", [40, 10, 20], "Redis does not answer"))
    given = service.recommend(user_id=2, history=[{"item_id": 40}])
    assert (given["fallback"], items_of(given)) == (None, [10, 20])  # needs no store
    refused = service.post("/score", {"user_id": 2, "item_ids": [10]})
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert service.metric('recbench_fallback_total{reason="store"}') >= 2
    redis_server.start()
    write()
    service.until(lambda: service.recommend(user_id=2)["fallback"] is None)
    assert service.get("/health/ready").status == 200


@pytest.mark.slow
def test_a_store_that_hangs_holds_nobody_up(serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, answers nothing
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        service = serve("--redis", url)
        with ThreadPoolExecutor(8) as clients:
            replies = list(clients.map(lambda user: service.recommend(user_id=user), range(40)))
        assert {reply["fallback"] for reply in replies} == {"popularity"}
        assert {reply["reason"] for reply in replies} <= {
            "online store: no answer within 0.05 s",
            "online store: Redis does not answer",
        }


def test_a_snapshot_is_read_again_when_the_follower_has_saved_it(serve, tmp_path):
    path = tmp_path / "online.safetensors"
    service = serve("--snapshot", str(path))
    assert service.recommend(user_id=2)["reason"] == (
        "online store: online.safetensors was not read yet"
    )
    state = OnlineState(SHIPPED_FEATURES)
    state.update(clicked(2, 40, ago=timedelta(seconds=5)))
    state.snapshot(path)
    service.until(lambda: service.recommend(user_id=2)["fallback"] is None)
    assert items_of(service.recommend(user_id=2)) == [10, 20]
    state.update(clicked(2, 10, ago=timedelta(seconds=1)))
    state.snapshot(path)
    service.until(lambda: items_of(service.recommend(user_id=2)) == [20])
    path.write_bytes(b"damaged")
    service.until(lambda: "no whole snapshot" in service.said)
    assert items_of(service.recommend(user_id=2)) == [20]


def test_a_snapshot_is_read_while_a_release_waits_to_be_laid_out(
    serve, registry, served_toy, tmp_path
):
    path = tmp_path / "online.safetensors"
    service = serve("--snapshot", str(path))
    first = registry.current()
    service.until(lambda: laying_out(service))
    (process,) = laying_out(service)
    process.suspend()  # as if others took all the time
    second = publish(registry, served_toy, 1).manifest.release
    service.until(lambda: service.get("/release").json["loading"])
    state = OnlineState(SHIPPED_FEATURES)
    state.update(clicked(2, 40, ago=timedelta(seconds=5)))
    state.snapshot(path)
    service.until(lambda: service.recommend(user_id=2)["fallback"] is None)
    told = service.get("/release").json
    assert (told["release"], told["loading"]) == (first, True)
    process.resume()
    service.until(lambda: serves(service, 0, second))
    assert service.stop() == 0


@pytest.mark.slow
def test_what_was_shown_reaches_kafka(serve, tmp_path):
    with embedded_broker(tmp_path / "broker") as broker:
        broker.create_topic("shown", partitions=1)
        told = ["--bootstrap-servers", broker.bootstrap_servers, "--topic", "shown"]
        service = serve(*told)
        replies = [service.recommend(user_id=user) for user in (1, 2)]
        service.recommend()  # nobody's
        assert service.stop() == 0  # what waits is sent first
        reader = Consumer(
            broker.client_settings() | {"group.id": "test", "auto.offset.reset": "earliest"}
        )
        reader.subscribe(["shown"])
        events = [json.loads(message.value()) for message in _messages(reader, n=5)]
        reader.close()
    told = [(e["request_id"], e["release"], e["item_id"], e["position"]) for e in events]
    assert told == [
        (int(reply["request_id"]), reply["release"], item["item_id"], item["position"])
        for reply in replies
        for item in reply["items"]
    ]
    assert {e["propensity"] for e in events} == {None}
    assert {e["clicked"] for e in events} == {False}
    assert events[0]["features"] == {"user_clicks_1h": 1, "user_watch_ms_5m": 0}


def test_a_broker_that_is_away_fails_no_request_and_drops_are_counted(serve):
    away = ["--bootstrap-servers", "127.0.0.1:1", "-X", "message.timeout.ms=300"]
    service = serve(*away, "-X", "queue.buffering.max.messages=10")
    for _ in range(20):
        assert len(service.recommend(user_id=99)["items"]) == 4
    outcome = 'recbench_exposures_total{{outcome="{}"}}'
    n_dropped = service.metric(outcome.format("dropped"))
    n_queued = service.metric(outcome.format("queued"))
    assert n_dropped > 0
    assert n_dropped + n_queued == 80
    service.until(lambda: service.metric(outcome.format("failed")) == n_queued)
    assert service.stop() == 0


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def _messages(reader, *, n):
    got, deadline = [], time.monotonic() + 120
    while len(got) < n and time.monotonic() < deadline:
        got += reader.consume(n, timeout=1)
    return got
