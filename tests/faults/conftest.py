"""A real broker, apart from the processes that are killed."""

import importlib.util
import shutil
import subprocess
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


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB, and a function that makes it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a small file system: {mounted.stderr.decode().strip()}")

    def enlarge(size="256m"):
        subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)

    yield disk, enlarge
    subprocess.run(["umount", disk], check=True)
