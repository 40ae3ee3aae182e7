"""A real broker, apart from the processes that are killed."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from recbench.events.broker import embedded_broker


@pytest.fixture
def broker(tmp_path):
    """An embedded broker that outlives the ingesters of the test."""
    with embedded_broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def redis_server(tmp_path):
    """A Redis that the test may stop and start; started."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server: run `apt-get install redis-server`")
    path = Path(__file__).parents[1] / "unit/features/online/conftest.py"
    spec = importlib.util.spec_from_file_location("online_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.RedisServer(tmp_path).start()
    yield server
    server.stop()
