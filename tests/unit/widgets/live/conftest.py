"""Two releases of the toy in a registry."""

import pytest

from recbench.refresh import Registry


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def two_releases(registry, served_toy):
    """The ids of an older release and of the current one, which thinks more of item 10."""
    ids = []
    for created, popularity in (
        ("2026-01-02T00:00:00+00:00", [0.5, 0.25, 2.0, 1.0]),
        ("2026-01-03T00:00:00+00:00", [3.0, 0.25, 2.0, 1.0]),
    ):
        toy = served_toy.seal(registry, created=created, popularity=popularity)
        ids.append(toy.release.manifest.release)
        registry.publish(ids[-1])
    return ids
