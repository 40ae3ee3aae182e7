"""What a larger catalogue costs: the service at several sizes of it, by number of clients."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recbench.benchmarks.mixed import verify_answers
from recbench.benchmarks.result import BenchResult
from recbench.benchmarks.service_check import ServiceCheck
from recbench.benchmarks.trained_release import trained_release
from recbench.errors import InputError
from recbench.refresh import Registry, Release
from recbench.refresh.contents import Contents

__all__ = ["SIZES", "by_catalogue_size", "run"]

SIZES = (10_000, 100_000, 1_000_000)
CLIENTS = (1, 8, 32)


def run(
    *, events: int = 250_000, items: int = SIZES[-1], seconds: float = 10.0, seed: int = 0
) -> BenchResult:
    """Closed loops of 1, 8 and 32 clients at 10 k, 100 k and 1 M items, with store and exposures.

    ``recall_at_k`` compares what was served with an exact search over all items.

    Args:
        events: of the log that the two-tower is trained on.
        items: of the largest catalogue; sizes above are left out.
        seconds: of each loop.
        seed: of everything.

    Raises:
        InputError: a number that is not positive.
        JobError: a service does not start.
    """
    if min(events, items, seconds) <= 0:
        raise InputError(
            f"`events`, `items` and `seconds` must be positive, got {events, items, seconds}"
        )
    sizes = [size for size in SIZES if size < items] + [items]
    with tempfile.TemporaryDirectory() as folder:
        release = trained_release(Registry(Path(folder)), events=events, seed=seed)
        table = by_catalogue_size(release, sizes, clients=CLIENTS, seconds=seconds, seed=seed)
    eight = table.filter(clients=8).iter_rows(named=True)
    figures = {
        f"{name}_{row['items']}": row[name]
        for row in eight
        for name in ("p50_ms", "p99_ms", "p999_ms", "answered_per_s", "recall_at_k")
    }
    return BenchResult("sizes", figures | {"errors": table["errors"].sum()}, table.to_dicts())


def by_catalogue_size(
    release: Release,
    sizes: Sequence[int],
    *,
    clients: Sequence[int] = CLIENTS,
    seconds: float,
    seed: int = 0,
) -> pl.DataFrame:
    """A row for each size and number of clients.

    Args:
        release: its items are copied, perturbed; sizes below its own are left out.
        sizes: of catalogues.
        clients: of closed loops.
        seconds: of each.
        seed: of the copies.
    """
    n_held = len(Contents.read(release).items)
    return pl.concat(
        [
            _measured(release, size, clients=clients, seconds=seconds, seed=seed)
            for size in sizes
            if size >= n_held
        ]
        or [pl.DataFrame(schema={"items": pl.Int64, "clients": pl.Int64})]
    )


def _measured(
    release: Release, size: int, *, clients: Sequence[int], seconds: float, seed: int
) -> pl.DataFrame:
    check = ServiceCheck.start(release, n_copies=0, n_items=size, seed=seed)
    try:
        table, loops = check.closed(clients, seconds=seconds)
        memory_bytes = check.service.memory_bytes()
        verified = verify_answers(
            loops[clients[0]].answered.filter(pl.col("fallback").is_null()),
            check.questions.users,
            registry=check.registry,
            k=check.questions.k,
        )
        floor = check.floor()
    finally:
        check.stop()
    return table.select(
        pl.lit(size).alias("items"),
        "clients",
        "requests",
        "errors",
        "answered_per_s",
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "p999_ms",
        pl.lit(floor["p50_ms"]).alias("floor_p50_ms"),
        pl.lit(verified.recall).alias("recall_at_k"),
        pl.lit(check.service.cold_start_s).alias("cold_start_s"),
        pl.lit(memory_bytes).alias("memory_bytes"),
    )
