"""The workers of a cluster, what they do, and what they have cost so far."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl

from recbench.cluster.energy import BUSY_THREAD_W, IDLE_THREAD_W
from recbench.cluster.load import PINNING_PREFIXES
from recbench.widgets.durations import duration

if TYPE_CHECKING:
    from distributed import Client

    from recbench.cluster.worker_times import GoneWorkers

__all__ = ["cost_table", "workers_table"]

HOUR_S = 3600.0
JOULES_PER_WH = 3600.0


def workers_table(client: "Client") -> pl.DataFrame:
    """A row a worker: what it is, what it holds, what it has used.

    ``worker, state, threads, memory_mib, limit_mib, tasks, ranks and notebooks, alive_s, cpu_s``;
    times are those of its process, since it began.
    """
    from recbench.cluster.worker_times import lived

    asked: Any = client
    held = asked.scheduler_info(n_workers=-1)["workers"]
    tasks, times = asked.processing(), asked.run(lived, on_error="ignore")  # one may just be going
    rows = [
        (
            worker,
            facts["status"],
            facts["nthreads"],
            facts["metrics"]["memory"] >> 20,
            facts["memory_limit"] >> 20,
            len(keys := tasks.get(worker, ())),
            sum(str(key).startswith(PINNING_PREFIXES) for key in keys),
            *times.get(worker, (None, None)),
        )
        for worker, facts in held.items()
    ]
    counts = ("threads", "memory_mib", "limit_mib", "tasks", "ranks and notebooks")
    texts = dict.fromkeys(("worker", "state"), pl.String)
    seconds = dict.fromkeys(("alive_s", "cpu_s"), pl.Float64)
    schema = texts | dict.fromkeys(counts, pl.Int64) | seconds
    return pl.DataFrame(rows, schema=schema, orient="row")


def cost_table(
    workers: pl.DataFrame,
    *,
    price_per_h: float,
    gone: "GoneWorkers | None" = None,
    joules: Callable[[], float] | None = None,
) -> pl.DataFrame:
    """``fact, value``: workers, time, money and energy so far, of those that have gone, too.

    Args:
        workers: as ``workers_table`` gives.
        price_per_h: of one worker, in any currency.
        gone: as ``recbench.cluster.worker_times.gone_workers`` tells; None: nobody has.
        joules: a meter of the machines; None: the model of ``recbench.cluster.energy``, by CPU
            seconds of a busy thread and the idle time of the others.
    """
    alive_s, cpu_s = (float(workers[name].sum()) for name in ("alive_s", "cpu_s"))
    thread_s = float((workers["alive_s"] * workers["threads"]).sum())
    if gone is not None:
        alive_s, cpu_s = alive_s + gone.alive_s, cpu_s + gone.cpu_s
        thread_s += gone.thread_s
    idle_s = max(0.0, thread_s - cpu_s)
    modelled = BUSY_THREAD_W * cpu_s + IDLE_THREAD_W * idle_s
    energy_wh = (modelled if joules is None else joules()) / JOULES_PER_WH
    facts = {
        "workers": str(len(workers)),
        "workers gone": str(gone.n_workers if gone else 0),
        "tasks now": str(workers["tasks"].sum()),
        "worker time": duration(alive_s),
        "CPU time": duration(cpu_s),
        "cost": f"{alive_s / HOUR_S * price_per_h:.4g} at {price_per_h:g} a worker and hour",
        "energy": f"{energy_wh:.4g} Wh, {'by a model' if joules is None else 'measured'}",
    }
    return pl.DataFrame({"fact": list(facts), "value": list(facts.values())})
