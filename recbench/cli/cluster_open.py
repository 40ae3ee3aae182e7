"""``recbench cluster open``: workers that stay until Ctrl-C."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import click

__all__ = ["open_"]

POLL_S = 0.2


@click.command("open")
@click.option(
    "--on", "where", default="local", show_default=True, help="local, cuda or kubernetes."
)
@click.option("--minimum", default=2, show_default=True, help="Workers that stay.")
@click.option("--maximum", default=64, show_default=True, help="Workers that there may be.")
@click.option(
    "--rule",
    type=click.Choice(["dask", "deadlines"]),
    default="dask",
    show_default=True,
    help="How many workers there are: by Dask's own rule, or by our policy, which keeps each piece "
    "of work within 15 minutes of its coming.",
)
@click.option(
    "--tariff",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV of price, carbon and power by the hour for --rule deadlines: columns from, price, "
    "carbon_g_per_kwh, power_w. May be written anew at any time.",
)
def open_(
    *,
    where: str,
    minimum: int,
    maximum: int,
    rule: Literal["dask", "deadlines"],
    tariff: Path | None,
) -> None:
    """Open a cluster, print its address, and keep it until Ctrl-C.

    The first line printed is the address, for `recbench run NOTEBOOK --on ADDRESS`. A local
    cluster grows with the work that waits, to no more workers than the machine has cores.
    """
    from recbench.cluster.open import open_cluster

    if tariff is not None and (where != "local" or rule != "deadlines"):
        raise click.UsageError("--tariff belongs to --on local --rule deadlines")
    if where == "local":
        maximum = max(minimum, min(maximum, os.cpu_count() or 1))
    scaled = _scaled(minimum, maximum, tariff) if rule == "deadlines" else {}
    with open_cluster(where, minimum=minimum, maximum=maximum, **scaled) as client:
        click.echo(client.scheduler.address)  # type: ignore[union-attr]  # of a live client
        click.echo("Ctrl-C ends it", err=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            while True:  # since Polars' handler of Ctrl-C restarts an endless wait
                time.sleep(POLL_S)


def _scaled(minimum: int, maximum: int, tariff: Path | None) -> dict[str, Any]:
    from recbench.cluster.scaling import ScalingPolicy
    from recbench.cluster.tariff import TariffFile, read_tariff

    policy = ScalingPolicy(minimum=minimum, maximum=maximum)
    if tariff is None:
        return {"policy": policy.target}
    read_tariff(tariff)  # what cannot be read is told now
    return {"policy": policy.target, "hours": TariffFile(tariff)}
