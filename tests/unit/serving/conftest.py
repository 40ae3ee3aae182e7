"""The toy release, and a service that serves it."""

import pytest

from recbench.refresh import Registry


@pytest.fixture
def seal_toy(tmp_path, served_toy):
    """Seals the toy release under a protocol."""

    def seal(protocol="masked", tombstones=(), **more):
        registry = Registry(tmp_path / "registry")
        return served_toy.seal(registry, protocol=protocol, tombstones=tombstones, **more)

    return seal
