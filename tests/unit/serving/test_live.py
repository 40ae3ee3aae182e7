"""The reference moves when the pointer has moved, and never to a release that cannot serve."""

import sys
import types

import pytest

from recbench.refresh import Registry
from recbench.serving import live as module
from recbench.serving.live import LiveRelease
from recbench.serving.served_release import ServedRelease


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def publish(registry, served_toy):
    """Publishes a further release."""
    count = iter(range(10))

    def make(**more):
        created = f"2026-01-02T00:00:0{next(count)}+00:00"
        sealed = served_toy.seal(registry, created=created, **more).release
        return registry.publish(sealed.manifest.release)

    return make


def test_without_a_release_there_is_nothing_to_do(registry):
    live = LiveRelease(registry)
    assert not live.is_stale()
    assert live.status.to_json()["release"] is None


def test_a_release_that_is_published_is_served(registry, publish):
    live = LiveRelease(registry)
    first = publish()
    assert live.is_stale()
    live.renew()
    assert not live.is_stale()
    assert live.now.id == first.manifest.release
    held, second = live.now, publish()
    live.renew()
    assert (live.now.id, live.status.n_swaps) == (second.manifest.release, 1)
    assert live.retired == [held]
    assert held.id == first.manifest.release  # whoever holds it goes on with it whole
    del held
    n_references = sys.getrefcount(live.retired[0])
    assert n_references == 2  # by the list and by the question


def test_the_same_release_is_not_loaded_twice(registry, publish):
    live = LiveRelease(registry)
    release = publish()
    live.renew()
    held = live.now
    registry.publish(publish().manifest.release)
    registry.publish(release.manifest.release)
    live.renew()
    assert live.now is held


def test_a_named_release_stays(registry, publish):
    first = publish()
    live = LiveRelease(registry, first.manifest.release)
    publish()
    assert live.is_stale()
    live.renew()
    assert live.now.id == first.manifest.release
    assert not live.is_stale()


def test_a_release_without_the_precision_is_refused_with_the_reason(registry, publish):
    live = LiveRelease(
        registry, load=lambda held, name: ServedRelease.load(held.open(name), precision="int8")
    )
    release = publish().manifest.release
    live.renew()
    assert live.now is None
    assert f"Release {release} has no query tower in int8" in live.status.refused


def test_a_corrupted_release_is_refused_and_tried_again_later(registry, publish, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: clock[0]))
    live = LiveRelease(registry)
    first = publish()
    live.renew()
    second = publish()
    index = second.folder / "index.safetensors"
    whole = index.read_bytes()
    index.write_bytes(whole[:-1] + b"\0")
    live.renew()
    assert live.now.id == first.manifest.release
    assert "index.safetensors is not the file that was released" in live.status.refused
    assert live.status.n_refused == 1
    assert not live.is_stale()
    clock[0] += module.RETRY_S
    assert live.is_stale()
    index.write_bytes(whole)
    live.renew()
    assert (live.now.id, live.status.refused) == (second.manifest.release, None)


def test_a_release_that_cannot_run_is_refused(registry, publish, served_toy, monkeypatch):
    live = LiveRelease(registry)
    publish()
    live.renew()
    held = live.now
    publish()
    monkeypatch.setattr(module.ServedRelease, "warm", lambda _: 1 / 0)
    live.renew()
    assert live.now is held
    assert "ZeroDivisionError" in live.status.refused
