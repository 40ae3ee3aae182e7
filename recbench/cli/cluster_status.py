"""``recbench cluster status``: the workers of a cluster, and what they do."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from recbench.cli.output import json_option, print_table, save_json

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["status"]


@click.command()
@click.argument("address")
@json_option
def status(address: str, *, json_path: Path | None) -> None:
    """The workers of the scheduler at ADDRESS: memory, tasks, ranks and notebooks."""
    from recbench.cluster.open import open_cluster

    with open_cluster(address) as client:
        rows = _rows(client)
    if rows:
        print_table(pl.DataFrame(rows))
    else:
        click.echo(f"There is no worker at {address}")
    save_json(json_path, rows)


def _rows(client: "Client") -> list[dict[str, Any]]:
    from recbench.cluster.load import PINNING_PREFIXES

    found: Any = client
    tasks = found.processing()
    return [
        {
            "worker": worker,
            "state": facts["status"],
            "threads": facts["nthreads"],
            "memory_mib": facts["metrics"]["memory"] >> 20,
            "limit_mib": facts["memory_limit"] >> 20,
            "tasks": len(keys := tasks.get(worker, ())),
            "ranks_and_notebooks": sum(str(key).startswith(PINNING_PREFIXES) for key in keys),
        }
        for worker, facts in found.scheduler_info(n_workers=-1)["workers"].items()
    ]
