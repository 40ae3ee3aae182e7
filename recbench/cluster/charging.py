"""Within a worker: what its tasks and ranks use, shared among the runs that sent them.

What the worker's process has used since the last look goes, in equal parts, to the tasks that
were executing; most workers execute one at a time. A task that has seceded, such as one that only
watches over a notebook, is not counted any more. A rank is a process of its own, and counted too.
"""

import os
import socket
import threading
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

from distributed import Worker, WorkerPlugin
from tornado.ioloop import PeriodicCallback

from recbench.cluster.charges import MARK, Charge, Kind
from recbench.cluster.energy import WorkerJoules
from recbench.cluster.load import RANKS_PREFIX

__all__ = ["Account", "ChargingWorkers", "Ledger", "charge_rank"]

WRITE_EVERY_S = 1.0


class Account(NamedTuple):
    """Whose a charge is."""

    folder: str
    kind: Kind


class Ledger:
    """The charges of this process, for all of its workers (they may be threads)."""

    def __init__(self, joules: WorkerJoules | None = None) -> None:
        """``joules``: how they are known; None: by what this machine has."""
        self._joules = joules or WorkerJoules.here()
        self._lock = threading.RLock()
        self._executing: dict[Hashable, Account | None] = {}
        self._charges: dict[Account, Charge] = {}
        self._unwritten: set[Account] = set()
        self._cpu_s, self._at, self._gpu_joules = _cpu_s(), time.monotonic(), self._joules.gpu()

    def begin(self, task: Hashable, account: Account | None) -> None:
        """A task is executing; None: no run has sent it."""
        with self._lock:
            self.look()
            self._executing[task] = account

    def end(self, task: Hashable) -> None:
        """It is not any more. What it used is on disk before anybody hears of its end."""
        with self._lock:
            if task in self._executing:
                self.look()
                account = self._executing.pop(task)
                if account is not None:
                    self._write(account)

    def rank(self, account: Account, cpu_s: float) -> None:
        """A rank has used more."""
        with self._lock:
            self._add(account, cpu_s=cpu_s)

    def look(self) -> None:
        """Share out what was used since the last look."""
        with self._lock:
            cpu_s, at, gpu_joules = _cpu_s(), time.monotonic(), self._joules.gpu()
            used_s, passed_s = cpu_s - self._cpu_s, at - self._at
            drawn = gpu_joules - self._gpu_joules
            self._cpu_s, self._at, self._gpu_joules = cpu_s, at, gpu_joules
            n = len(self._executing)
            for account in filter(None, self._executing.values()):
                self._add(account, cpu_s=used_s / n, worker_s=passed_s, gpu_joules=drawn / n)

    def write(self) -> None:
        """All that has changed."""
        with self._lock:
            self.look()
            for account in list(self._unwritten):
                self._write(account)

    def _add(
        self, account: Account, *, cpu_s: float, worker_s: float = 0.0, gpu_joules: float = 0.0
    ) -> None:
        if account not in self._charges:
            self._charges[account] = Charge(
                host=socket.gethostname(),
                process=os.getpid(),
                kind=account.kind,
                source=self._joules.source,
            )
        charge = self._charges[account]
        charge.cpu_s += cpu_s
        charge.worker_s += worker_s
        charge.joules += self._joules.cpu(cpu_s) + gpu_joules
        self._unwritten.add(account)

    def _write(self, account: Account) -> None:
        if account in self._unwritten:
            self._unwritten.remove(account)
            self._charges[account].write(Path(account.folder))


_lock = threading.Lock()
_of_this_process: list[Ledger] = []  # none or one


def _ledger() -> Ledger:
    with _lock:
        if not _of_this_process:
            _of_this_process.append(Ledger())
        return _of_this_process[0]


class ChargingWorkers(WorkerPlugin):
    """Has every worker, those that join later included, tell runs what they use."""

    name = "recbench-charging"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Begin to look."""
        self.worker = worker
        self.writing = PeriodicCallback(_ledger().write, 1000 * WRITE_EVERY_S)
        self.writing.start()

    def teardown(self, worker: Worker) -> None:
        """The last word."""
        del worker
        self.writing.stop()
        _ledger().write()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Of a task of this worker: Dask calls it before it tells anybody."""
        task = (self.worker.id, key)
        if finish == "executing" and start != "long-running":
            _ledger().begin(task, _account_of(self.worker, key))
        elif start == "executing":
            _ledger().end(task)


def charge_rank(worker: Worker, key: Any, cpu_s: float) -> None:
    """Tell the run whose rank it is that the rank has used so much more."""
    account = _account_of(worker, key)
    if account is not None and cpu_s > 0:
        _ledger().rank(account, cpu_s)


def _account_of(worker: Worker, key: Any) -> Account | None:
    """Whose a task is, as its client has marked it; None: nobody's that keeps an account."""
    task = worker.state.tasks.get(key)
    folder = (task.annotations or {}).get(MARK) if task else None
    kind: Kind = "ranks" if str(key).startswith(RANKS_PREFIX) else "tasks"
    return None if folder is None else Account(folder, kind)


def _cpu_s() -> float:
    """Of this process's own threads, finer than the system's ticks of ten milliseconds."""
    return time.process_time()
