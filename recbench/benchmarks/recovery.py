"""Ranks and workers that die or hang in the middle of a training: how long until it goes on."""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from recbench.benchmarks.result import BenchResult
from recbench.benchmarks.train import generated_batches
from recbench.errors import InputError, JobError
from recbench.jobs.build import new_towers
from recbench.settings import Experiment, TrainingSettings
from recbench.training.fit import fit

if TYPE_CHECKING:
    from distributed import Client

    from recbench.cluster.ranks import RankCluster

__all__ = ["run"]

N_RANKS, N_WORKERS = 2, 3  # one more, so that the survivors of a worker are as many as before
SAVE_EVERY = 20
ENDLESS = 10_000_000
LONGEST_S = 60.0  # of one trial

# what is struck, with which signal
STRIKES = {
    "rank_killed": ("rank", signal.SIGKILL),
    "worker_killed": ("worker", signal.SIGKILL),
    "rank_stopped": ("rank", signal.SIGSTOP),
}


def run(*, runs: int = 10, events: int = 50_000, seed: int = 0) -> BenchResult:
    """Strike a training of two ranks again and again; seconds until it makes a step again.

    Three worker processes of this machine, the default two-tower with tables by row, a checkpoint
    every 20 steps. A trial is from the signal to the driver's word of the first step that was
    trained after it, which is the first one after the last checkpoint. Before a worker is struck
    all three are warm; the one that comes for it starts while the survivors go on.

    Args:
        runs: trials of each kind.
        events: how many generated events the batches come from.
        seed: of events, weights and batches.

    Raises:
        InputError: a number below 1.
        JobError: training did not go on within a minute.
    """
    if min(runs, events) < 1:
        raise InputError(f"`runs` and `events` must be positive, got {runs, events}")
    from recbench.cluster.open import open_cluster
    from recbench.cluster.ranks import ranks_on

    settings = Experiment(training=TrainingSettings(table_updates="rows"), seed=seed)
    log, batches = generated_batches(events, settings)
    with (
        open_cluster("local", minimum=N_WORKERS, maximum=N_WORKERS) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        ranks = ranks_on(client, minimum=1, maximum=N_RANKS)
        trials = _Trials(ranks, client, kinds=[kind for kind in STRIKES for _ in range(runs)])
        try:
            fit(
                new_towers(log, settings),
                batches,
                max_steps=ENDLESS,
                checkpoint=Path(folder),
                checkpoint_every=SAVE_EVERY,
                cluster=trials,
                label="struck",
            )
        except _AllDone:
            pass
    return _result(trials.seconds)


def _result(seconds: dict[str, list[float]]) -> BenchResult:
    figures = {}
    for kind, of_kind in seconds.items():
        figures[f"{kind}_p50_s"] = statistics.median(of_kind)
        figures[f"{kind}_max_s"] = max(of_kind)
    each = zip(*seconds.values(), strict=True)
    return BenchResult(
        "recovery", figures, [dict(zip((f"{k}_s" for k in seconds), t, strict=True)) for t in each]
    )


class _AllDone(Exception):
    """Nothing is left to strike."""


@dataclass
class _Trials:
    """A cluster whose ranks are struck after a checkpoint; tells each time how long it took."""

    ranks: "RankCluster"
    client: "Client"
    kinds: list[str]
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in STRIKES})
    struck_at: float | None = None
    is_seen: bool = False  # the driver knows that something failed

    def run_ranks(
        self, work: Callable[[Any], Any], *, on_told: Callable[[str, Any], None], **options: Any
    ) -> Any:
        def told(name: str, value: Any) -> None:
            on_told(name, value)
            self._look(name)

        return self.ranks.run_ranks(work, on_told=told, **options)

    def _look(self, name: str) -> None:
        if self.struck_at is None:
            if name == "saved":
                self._strike_if_ready()
            return
        passed = time.monotonic() - self.struck_at
        if name == "note":
            self.is_seen = True
        elif name == "step" and self.is_seen:
            self.seconds[self.kinds.pop(0)].append(passed)
            self.struck_at, self.is_seen = None, False
        if passed > LONGEST_S:
            raise JobError(f"{self.kinds[0]}: no step within {LONGEST_S:g} s")

    def _strike_if_ready(self) -> None:
        from recbench.cluster.warm import warm_workers

        if not self.kinds:
            raise _AllDone
        found = _ranks_of(self.client)
        if len(found) == N_RANKS and len(warm_workers(self.client)) == N_WORKERS:
            whose, sent = STRIKES[self.kinds[0]]
            target = found[-1][whose]
            self.struck_at = time.monotonic()
            os.kill(target, sent)


def _ranks_of(client: "Client") -> list[dict[str, int]]:
    """Process ids of each living rank and of its worker."""
    workers: Any = client.run(os.getpid)
    found = []
    for worker in workers.values():
        for server in psutil.Process(worker).children():
            if "recbench.cluster.fork_server" in server.cmdline():
                found += [{"worker": worker, "rank": rank.pid} for rank in server.children()]
    return found
