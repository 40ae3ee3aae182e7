"""Ranks and workers that die or hang in the middle of a training: how long until it goes on."""

import math
import os
import signal
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recbench.benchmarks.gang import rank_processes
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
LONGEST_S, WARM_S = 60.0, 180.0

# what is struck, with which signal
STRIKES = {
    "rank_killed": ("rank", signal.SIGKILL),
    "worker_killed": ("worker", signal.SIGKILL),
    "rank_stopped": ("rank", signal.SIGSTOP),
}


def run(*, runs: int = 10, events: int = 50_000, seed: int = 0) -> BenchResult:
    """Strike a training of two ranks again and again; seconds until it makes a step again.

    Three worker processes of this machine, the default two-tower with tables by row, a checkpoint
    every 20 steps. A trial is from the signal to the driver's word of the first step trained after
    it, which is the first one after the last checkpoint. It begins when all three workers are
    warm; the one that comes for a killed one starts while the survivors go on.

    Args:
        runs: trials of each kind.
        events: how many generated events the batches come from.
        seed: of events, weights and batches.

    Raises:
        InputError: a number below 1.
        JobError: nothing failed within a minute of a signal, or workers did not come.
    """
    if min(runs, events) < 1:
        raise InputError(f"`runs` and `events` must be positive, got {runs, events}")
    from recbench.cluster.open import open_cluster
    from recbench.cluster.ranks import ranks_on

    settings = Experiment(training=TrainingSettings(table_updates="rows"), seed=seed)
    log, batches = generated_batches(events, settings)
    with open_cluster("local", minimum=N_WORKERS, maximum=N_WORKERS) as client:
        ranks = ranks_on(client, minimum=N_RANKS, maximum=N_RANKS)
        seconds: dict[str, list[float]] = {kind: [] for kind in STRIKES}
        for _ in range(runs):
            for kind in STRIKES:
                trial = _Trial(ranks, client, kind)
                _wait_until_warm(client)
                with TemporaryDirectory() as folder, suppress(_Over):
                    fit(
                        new_towers(log, settings),
                        batches,
                        max_steps=ENDLESS,
                        checkpoint=Path(folder),
                        checkpoint_every=SAVE_EVERY,
                        cluster=trial,
                        label=kind,
                    )
                seconds[kind].append(trial.seconds)
    return _result(seconds)


def _wait_until_warm(client: "Client") -> None:
    """The worker that comes for a killed one is no part of the next trial."""
    from recbench.cluster.warm import WarmWorkers, warm_workers

    client.register_plugin(WarmWorkers())
    until = time.monotonic() + WARM_S
    while len(warm_workers(client).usable) < N_WORKERS:
        if time.monotonic() > until:
            raise JobError(f"{N_WORKERS} workers were not warm within {WARM_S:g} s")
        time.sleep(0.1)


def _result(seconds: dict[str, list[float]]) -> BenchResult:
    figures = {}
    for kind, of_kind in seconds.items():
        figures[f"{kind}_p50_s"] = statistics.median(of_kind)
        figures[f"{kind}_max_s"] = max(of_kind)
    each = zip(*seconds.values(), strict=True)
    return BenchResult(
        "recovery", figures, [dict(zip((f"{k}_s" for k in seconds), t, strict=True)) for t in each]
    )


class _Over(Exception):
    """The trial's way out of an endless training."""


@dataclass
class _Trial:
    """A cluster of which one rank or worker is struck after the first checkpoint."""

    ranks: "RankCluster"
    client: "Client"
    kind: str
    struck_at: float = math.inf
    is_seen: bool = False  # the driver knows that something failed
    seconds: float = math.nan

    def run_ranks(
        self, work: Callable[[Any], Any], *, on_told: Callable[[str, Any], None], **options: Any
    ) -> Any:
        def told(name: str, value: Any) -> None:
            on_told(name, value)
            self._look(name)

        return self.ranks.run_ranks(work, on_told=told, **options)

    def _look(self, name: str) -> None:
        now = time.monotonic()
        if name == "saved" and self.struck_at == math.inf:
            self._strike()
        elif name == "note":
            self.is_seen = True
        elif name == "step" and self.is_seen:
            self.seconds = now - self.struck_at
            raise _Over
        elif now - self.struck_at > LONGEST_S:
            raise JobError(f"{self.kind}: training did not fail within {LONGEST_S:g} s")

    def _strike(self) -> None:
        whose, sent = STRIKES[self.kind]
        worker, rank = rank_processes(self.client)[-1]
        target = worker if whose == "worker" else rank.pid
        self.struck_at = time.monotonic()
        os.kill(target, sent)
