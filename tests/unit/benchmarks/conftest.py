"""A service that benches of serving share: a tiny trained release, and copies of it."""

from typing import NamedTuple

import pytest


class Tiny(NamedTuple):
    workspace: object
    registry: object
    small: object  # 40 items
    releases: tuple  # 90 items each


@pytest.fixture(scope="package")
def tiny_served(tmp_path_factory):
    """A workspace with a current release, and two more with other embeddings."""
    from recbench.benchmarks.trained_release import enlarged, trained_release
    from recbench.refresh import Registry

    workspace = tmp_path_factory.mktemp("served")
    registry = Registry(workspace / "registry")
    # a mean of the history instead of a transformer: a second instead of a minute
    small = trained_release(registry, events=10_000, seed=0, encoder="pooled", steps=2)
    releases = tuple(enlarged(small, registry=registry, n_items=90, seed=seed) for seed in range(3))
    registry.publish(releases[0].manifest.release)
    return Tiny(workspace, registry, small, releases)


@pytest.fixture
def trained(tiny_served):
    """`trained_release`, but of what was trained already."""
    return lambda registry, *, events, seed: tiny_served.small
