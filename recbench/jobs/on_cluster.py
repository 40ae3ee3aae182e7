"""A notebook as a supervised task of a Dask cluster: the same run, carried out by a worker.

The worker's task watches over a process that does what ``recbench run`` does, so that a lost worker
is only a reason to begin again elsewhere. Runs and workspace lie on a disk that workers and caller
share.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from recbench.cluster.current import CLUSTER_VARIABLE
from recbench.cluster.failures import explained
from recbench.jobs.close import close_run
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import process_facts, recorded
from recbench.jobs.prepare import Prepared
from recbench.jobs.request import Request
from recbench.jobs.run import RunFailedError, RunResult
from recbench.jobs.supervise import supervise

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["OnCluster", "result_of"]

POLL_S = 0.02
END_S = 30.0  # that a cancelled attempt may take to end its kernel and write its manifest


@dataclass(frozen=True, slots=True)
class OnCluster:
    """The way of a run that a worker carries out, for ``run_notebook`` and ``resume_run``.

    The kernel finds the cluster through ``recbench.cluster.current.current_client``. Output streams
    back to the listener. A run whose worker dies begins again on another one, after its last
    finished stage; it is cancelled, and its kernel ended, by Ctrl-C or the end of the caller.
    """

    client: "Client"

    def __call__(self, prepared: Prepared, *, workspace: Path, listener: Listener) -> RunResult:
        """Returns when the run has ended.

        Raises:
            RunFailedError: a cell raised, the kernel was killed or grew too large, or the cluster
                was lost or lost too many workers; the manifest says the same.
            OSError: the worker could not write, such as to a full disk.
        """
        folder = prepared.folder
        prepared.manifest.process = process_facts()
        prepared.manifest.write(folder)
        key = f"job-{folder.name}-{len(prepared.manifest.attempts)}"
        with _heard(self.client, key, listener):
            future = self.client.submit(
                supervise, _request(self.client, prepared, workspace), key=key, pure=False
            )
            ended = self._ending(future, folder, listener)
        return result_of(folder, ended)

    def _ending(self, future: Any, folder: Path, listener: Listener) -> dict[str, Any]:
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            while not future.done():  # an endless wait would hear Ctrl-C up to 10 s later
                if not listener.is_wanted():
                    raise KeyboardInterrupt
                time.sleep(POLL_S)
            ended: dict[str, Any] = future.result()
        except KeyboardInterrupt:
            future.cancel()
            close_run(folder, "interrupted", "cancelled", within_s=END_S)
            raise
        except (KilledWorker, FutureCancelledError) as error:
            reason = explained(error, self.client)
            close_run(folder, "killed", reason, within_s=END_S)
            return {"status": "killed", "error": reason}
        finally:
            # Else whoever keeps the error, and with it this frame, would have the run done again
            # once the worker that holds its end is lost.
            future.release()
        return ended


def result_of(folder: Path, ended: dict[str, Any]) -> RunResult:
    """What an attempt elsewhere said when it ended, as ``run_notebook`` gives or raises it."""
    if "errno" in ended:
        with suppress(OSError):  # on a full disk nothing can be recorded; what follows says so
            close_run(folder, "failed", ended["error"], within_s=0)
        raise OSError(ended["errno"], ended["error"], ended["filename"])
    if ended["status"] == "succeeded":
        return RunResult(folder, "succeeded", recorded(folder, "metrics.json"))
    close_run(folder, ended["status"], ended["error"], within_s=0)
    raise RunFailedError.of(folder, ended["status"], ended["error"])


def _request(client: Any, prepared: Prepared, workspace: Path) -> Request:
    ours = {name: value for name, value in os.environ.items() if name.startswith("RECBENCH_")}
    return Request(
        folder=str(prepared.folder),
        notebook=nbformat.writes(prepared.notebook),  # type: ignore[no-untyped-call]  # nbformat has no types
        workspace=str(workspace.absolute()),
        working_directory=str(Path.cwd()),
        environment=ours | {CLUSTER_VARIABLE: client.scheduler.address},
    )


@contextmanager
def _heard(client: Any, topic: str, listener: Listener) -> Iterator[None]:
    """The listener is told what the task says under ``topic``."""
    attempts = 0

    def on_event(event: tuple[float, dict[str, Any]]) -> None:
        nonlocal attempts
        message = event[1]
        if "attempt" in message:
            attempts += 1
            listener.on_attempt(attempts, message["attempt"])
        elif "cell" in message:
            listener.on_cell(*message["cell"])
        else:
            listener.on_output(message["output"])

    client.subscribe_topic(topic, on_event)
    yield
    if client.status == "running":
        client.unsubscribe_topic(topic)
