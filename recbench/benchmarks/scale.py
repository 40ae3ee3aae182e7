"""More ranks: what two make of one, and what it costs to launch and to change their number."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from recbench.benchmarks.gang import keep_meeting, meet, rank_processes
from recbench.benchmarks.result import BenchResult, medians
from recbench.benchmarks.train import generated_batches
from recbench.errors import InputError, JobError
from recbench.jobs.build import new_towers
from recbench.models.two_tower import TwoTower
from recbench.settings import Experiment, TrainingSettings
from recbench.training.batches import Batches
from recbench.training.fit import fit

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

    from recbench.cluster.ranks import RankCluster

__all__ = ["run"]

GANGS = (2, 8, 32, 64)
N_TASKS = 500
FIRST_STEPS = 10  # untimed: what they bring up
LONGER = (1, 4, 16)  # times the steps, where so few are over too soon
MONITORED = {"distributed.admin.system-monitor.interval": "10s"}  # 64 monitors of one process
STALE_S = 60.0  # 64 ranks on few cores are slow, not dead
KEYS = (
    "steps_per_s_1_rank",
    "steps_per_s_2_ranks",
    "efficiency_2_ranks",
    "weak_efficiency_2_ranks",
    "cpu_efficiency_2_ranks",
)


def run(
    *, runs: int = 3, events: int = 50_000, steps: int = 100, ranks: int = 64, seed: int = 0
) -> BenchResult:
    """Strong and weak scaling of training from one rank to two; launching and growing to many.

    ``efficiency_2_ranks`` is the speed of two ranks over twice that of one with the same global
    batch, ``weak_efficiency_2_ranks`` with twice the global batch, ``cpu_efficiency_2_ranks`` the
    steps a CPU second of both over those of one: what is done twice, other users of the machine
    and waiting left out. Ranks are processes with one
    thread each. ``gang_start_N_s`` is from the call to the answer of N ranks that met, and
    ``task_overhead_N_ms`` a plain task's share of some hundred, on workers that are threads of
    this process and share a warm fork server: on few cores it is the launching that is measured,
    not N imports of torch. ``grow_2_to_N_s`` is from asking for N workers to the first step of N
    ranks that had been 2, ``shrink_N_to_2_s`` the way back.

    Args:
        runs: how often; figures are medians.
        events: how many generated events the batches come from.
        steps: how many training steps are timed.
        ranks: N, the largest gang.
        seed: of events, weights and batches.

    Raises:
        InputError: a number below 1, or fewer than 2 ranks.
        JobError: training is over before it can be timed.
    """
    if min(runs, events, steps, ranks - 1) < 1:
        raise InputError(
            f"`runs`, `events` and `steps` must be positive and `ranks` above 1, got "
            f"{runs, events, steps, ranks}"
        )
    settings = Experiment(training=TrainingSettings(table_updates="rows"), seed=seed)
    log, batches = generated_batches(events, settings)
    measured = list(_training(lambda: new_towers(log, settings), batches, runs=runs, steps=steps))
    figures = medians(measured, keys=KEYS)
    gangs = [_gangs(ranks) for _ in range(runs)]
    figures |= medians(gangs, keys=list(gangs[0]))
    return BenchResult("scale", figures, [a | b for a, b in zip(measured, gangs, strict=True)])


def _training(
    towers: Callable[[], TwoTower], batches: Batches, *, runs: int, steps: int
) -> Iterator[dict[str, float]]:
    from recbench.cluster.open import open_cluster
    from recbench.cluster.ranks import ranks_on

    double = replace(batches, batch_size=2 * batches.batch_size)
    with open_cluster("local", minimum=2, maximum=2) as client:
        one, two = (ranks_on(client, minimum=n, maximum=n) for n in (1, 2))
        for _ in range(runs):
            alone, alone_cpu = _speed(one, towers(), batches, steps=steps)
            strong, strong_cpu = _speed(two, towers(), batches, steps=steps)
            weak, _ = _speed(two, towers(), double, steps=steps)
            yield {
                "steps_per_s_1_rank": alone,
                "steps_per_s_2_ranks": strong,
                "efficiency_2_ranks": strong / (2 * alone),
                "weak_efficiency_2_ranks": weak / alone,
                "cpu_efficiency_2_ranks": strong_cpu / alone_cpu,
            }


def _speed(
    ranks: "RankCluster", towers: TwoTower, batches: Batches, *, steps: int
) -> tuple[float, float]:
    """Steps a second, and steps a CPU second of all ranks."""
    for longer in LONGER:
        watch = _Watch(ranks)
        n_steps = longer * steps
        max_steps = FIRST_STEPS + n_steps
        fit(towers, batches, max_steps=max_steps, checkpoint_every=10 * n_steps, cluster=watch)
        timed = [seen for seen in watch.seen if seen[0] > FIRST_STEPS]
        if len(timed) > 1:  # else ranks had ended before they were looked at
            (first, began, cpu_before), (last, ended, cpu_after) = timed[0], timed[-1]
            return (last - first) / (ended - began), (last - first) / (cpu_after - cpu_before)
    raise JobError(
        f"{n_steps} steps of {ranks.maximum} ranks were over before they could be timed: ask for "
        "more `steps`, or leave the machine some time"
    )


@dataclass
class _Watch:
    """A cluster that notes when which step was told, and what CPU ranks had used by then."""

    ranks: "RankCluster"
    seen: list[tuple[int, float, float]] = field(default_factory=list)

    def run_ranks(
        self, work: Callable[[Any], Any], *, on_told: Callable[[str, Any], None], **options: Any
    ) -> Any:
        def told(name: str, value: Any) -> None:
            if name == "step":
                with suppress(psutil.NoSuchProcess):  # after the last step
                    self._note(value)
            on_told(name, value)

        return self.ranks.run_ranks(work, on_told=told, **options)

    def _note(self, step: int) -> None:
        processes = [rank for _, rank in rank_processes(self.ranks.client)]
        times = [rank.cpu_times() for rank in processes]
        if len(processes) == self.ranks.maximum:  # one that has ended takes its time along
            cpu_s = sum(each.user + each.system for each in times)
            self.seen.append((step, time.monotonic(), cpu_s))


def _gangs(most: int) -> dict[str, float]:
    """Launching, plain tasks, growing and shrinking, on one cluster of threads."""
    figures = {}
    with _threads(2) as (cluster, client), tempfile.TemporaryDirectory() as folder:
        for n in [*(n for n in GANGS if n < most), most]:
            cluster.scale(n)  # type: ignore[no-untyped-call]  # Dask's
            client.wait_for_workers(n)
            ranks = _ranks(client, n)
            _gang_s(ranks, Path(folder))  # until all are warm
            figures[f"gang_start_{n}_s"] = _gang_s(ranks, Path(folder))
            figures[f"task_overhead_{n}_ms"] = _task_ms(client)
    with _threads(2) as (cluster, client), tempfile.TemporaryDirectory() as folder:
        figures |= _grown(cluster, _ranks(client, 2), Path(folder), most)
    return figures


@contextmanager
def _threads(n: int) -> Iterator[tuple["LocalCluster", "Client"]]:
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set(MONITORED),
        LocalCluster(  # type: ignore[no-untyped-call]  # Dask's
            n_workers=n,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=None,
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # Dask's
    ):
        yield cluster, client


def _ranks(client: "Client", n: int) -> "RankCluster":
    from recbench.cluster.ranks import ranks_on

    return replace(ranks_on(client, minimum=n, maximum=n), stale_s=STALE_S)


def _gang_s(ranks: "RankCluster", folder: Path) -> float:
    start = time.monotonic()
    n = ranks.run_ranks(meet, folder=folder, accelerator="cpu", on_told=lambda *_: None)
    assert n == ranks.maximum
    return time.monotonic() - start


def _task_ms(client: "Client") -> float:
    start = time.monotonic()
    futures = client.map(_nothing, range(N_TASKS), pure=False)
    client.gather(futures)  # type: ignore[no-untyped-call]  # Dask's
    return (time.monotonic() - start) / N_TASKS * 1e3


def _nothing(_: int) -> None:
    return None


class _Back(Exception):
    """They are two again."""


def _grown(
    cluster: "LocalCluster", ranks: "RankCluster", folder: Path, most: int
) -> dict[str, float]:
    """Two ranks that become ``most`` and two again; the clock starts with the wish."""
    wished: list[float] = []
    figures: dict[str, float] = {}

    def told(name: str, n_ranks: int) -> None:
        now = time.monotonic()
        if name != "saved":
            return
        if not wished:
            wished.append(now)
            ranks.maximum = most
            cluster.scale(most)  # type: ignore[no-untyped-call]  # Dask's
        elif len(wished) == 1 and n_ranks == most:
            figures[f"grow_2_to_{most}_s"] = now - wished[0]
            wished.append(now)
            ranks.maximum = 2
        elif len(wished) == 2 and n_ranks == 2:
            figures[f"shrink_{most}_to_2_s"] = now - wished[1]
            raise _Back

    with suppress(_Back):
        ranks.run_ranks(keep_meeting, folder=folder, accelerator="cpu", on_told=told)
    return figures
