"""Each worker's fork server: started with it, watched, started again, and gone with it."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Client, Worker, WorkerPlugin

__all__ = ["WarmWorkers", "Workers", "fork_socket", "warm_workers"]

TOPIC = "recbench-fork-server"
ENVIRONMENT = {
    "POLARS_ALLOW_FORKING_THREAD": "1",  # it is imported before the fork, and not used
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # else a driver that leaves is a page of warnings
}
OF_NOTEBOOKS = "job-"  # how keys of their tasks begin, as in `cluster.adaptive`
AGAIN_AFTER_S = 1.0  # a server that cannot live is not started in a circle


class _Server:
    """The fork server of this process, which its workers share where they are threads."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="ranks-")  # short: a socket's path is
        self.path = Path(self.folder.name) / "socket"
        self.closing = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.is_warm = False
        self.workers: list[Worker] = []
        threading.Thread(target=self._keep, name="fork server", daemon=True).start()

    def serve(self, worker: Worker) -> None:
        self.workers.append(worker)
        if self.is_warm:
            self._tell(worker)

    def close(self) -> None:
        """It takes its ranks along."""
        self.closing.set()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def _keep(self) -> None:
        while not self.closing.is_set():
            self.path.unlink(missing_ok=True)
            with subprocess.Popen(
                [sys.executable, "-m", "recbench.cluster.fork_server", str(self.path)],
                stdin=subprocess.PIPE,  # its end tells the server that this process is gone
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the driver
                env=os.environ | ENVIRONMENT,
            ) as self.process:
                assert self.process.stdout is not None
                for line in self.process.stdout:
                    if line.strip() == b"warm":
                        self._become(is_warm=True)
                self._become(is_warm=False)
            self.closing.wait(AGAIN_AFTER_S)

    def _become(self, *, is_warm: bool) -> None:
        self.is_warm = is_warm
        for worker in list(self.workers):
            self._tell(worker)

    def _tell(self, worker: Worker) -> None:
        if not self.closing.is_set():
            event = {"address": worker.address, "is_warm": self.is_warm}
            worker.loop.add_callback(worker.log_event, TOPIC, event)


_lock = threading.Lock()
_of_this_process: list[_Server] = []  # none or one


class WarmWorkers(WorkerPlugin):
    """A `fork_server` beside each worker, those that join later included.

    A worker counts as warm once its server has imported what ranks need; until then it gets no
    rank, so nobody waits for imports.
    """

    name = "recbench-fork-server"
    idempotent = True  # registered again it stays, and so do the servers

    def setup(self, worker: Worker) -> None:
        """Start the server; it gets warm while the worker does other things."""
        with _lock:
            if not _of_this_process:
                _of_this_process.append(_Server())
            _of_this_process[0].serve(worker)

    def teardown(self, worker: Worker) -> None:
        """End the server with the last worker of this process."""
        with _lock:
            server = _of_this_process[0]
            server.workers.remove(worker)
            if not server.workers:
                _of_this_process.clear()
                server.close()


def fork_socket() -> Path:
    """Where the fork server of this process listens.

    Raises:
        FileNotFoundError: there is none: the worker is closing.
    """
    with _lock:
        if not _of_this_process:
            raise FileNotFoundError("This worker has no fork server")
        return _of_this_process[0].path


class Workers(NamedTuple):
    """Addresses of those that the scheduler knows."""

    usable: list[str]  # could take a rank at once; longest warm first
    living: set[str]


def warm_workers(client: Client) -> Workers:
    """The workers of a cluster, and which of them could take a rank.

    Usable ones have a warm fork server and no notebook on them, whose kernel would share their
    memory with the rank; where a notebook sits on every worker there is no choice.

    Raises:
        OSError: the scheduler does not answer.
    """
    events: Any = client.get_events(TOPIC)
    running: Any = client.processing()  # type: ignore[no-untyped-call]  # Dask's
    told = {event["address"]: event["is_warm"] for _, event in events}
    free = {
        address
        for address, keys in running.items()
        if not any(str(key).startswith(OF_NOTEBOOKS) for key in keys)
    }
    usable = [
        address for address, is_warm in told.items() if is_warm and address in (free or running)
    ]
    return Workers(usable, set(running))
