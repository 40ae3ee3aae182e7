"""A real broker, apart from the processes that are killed."""

import pytest

from recbench.events.broker import embedded_broker


@pytest.fixture
def broker(tmp_path):
    """An embedded broker that outlives the ingesters of the test."""
    with embedded_broker(tmp_path / "broker") as started:
        yield started
