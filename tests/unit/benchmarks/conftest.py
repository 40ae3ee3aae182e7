"""A service that benches of serving share: a tiny trained release, and copies of it."""

from functools import partial
from typing import NamedTuple

import pytest


class Tiny(NamedTuple):
    workspace: object
    registry: object
    small: object  # 40 items
    releases: tuple  # 90 items each


@pytest.fixture(scope="package")
def tiny_trained():
    """`trained_release` in a second: a mean of the history instead of a transformer."""
    from recbench.benchmarks.trained_release import trained_release

    return partial(trained_release, encoder="pooled", steps=2)


@pytest.fixture(scope="package")
def tiny_served(tiny_trained, tmp_path_factory):
    """A workspace with a current release, and two more with other embeddings."""
    from recbench.benchmarks.trained_release import enlarged
    from recbench.refresh import Registry

    workspace = tmp_path_factory.mktemp("served")
    registry = Registry(workspace / "registry")
    small = tiny_trained(registry, events=10_000, seed=0)
    releases = tuple(enlarged(small, registry=registry, n_items=90, seed=seed) for seed in range(3))
    registry.publish(releases[0].manifest.release)
    return Tiny(workspace, registry, small, releases)
