"""A Redis server of the tests' own."""

import shutil
import socket
import subprocess
import time

import pytest

from recbench.loopback import free_port


class RedisServer:
    """A redis-server on a free port that keeps nothing on disk; it can be stopped and started."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder, self._process = folder, None

    def start(self):
        """Start an empty server, and wait until it answers."""
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self._folder}
        command = [
            "redis-server",
            *(word for k, v in options.items() for word in (f"--{k}", str(v))),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                    client.sendall(b"PING\r\n")
                    if client.recv(16).startswith(b"+PONG"):
                        return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"redis-server on port {self.port} does not answer")

    def stop(self):
        """Kill it, and all that it held."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def redis_folder(tmp_path_factory):
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server: run `apt-get install redis-server`")
    return tmp_path_factory.mktemp("redis")


@pytest.fixture(scope="module")
def shared_redis(redis_folder):
    server = RedisServer(redis_folder).start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(shared_redis):
    """The address of an empty server."""
    import redis

    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis.url


@pytest.fixture
def own_redis(redis_folder):
    """A server that the test may stop."""
    server = RedisServer(redis_folder).start()
    yield server
    server.stop()
