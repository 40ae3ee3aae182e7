"""``recbench cluster open``: workers that stay until Ctrl-C."""

import signal
import time
from contextlib import suppress

import click

__all__ = ["open_"]

POLL_S = 0.2


@click.command("open")
@click.option(
    "--on", "where", default="local", show_default=True, help="local, cuda or kubernetes."
)
@click.option("--minimum", default=2, show_default=True, help="Workers that stay.")
@click.option("--maximum", default=64, show_default=True, help="Workers that there may be.")
def open_(*, where: str, minimum: int, maximum: int) -> None:
    """Open a cluster, print its address, and keep it until Ctrl-C.

    The first line printed is the address, for `recbench run NOTEBOOK --on ADDRESS`. A local
    cluster grows with the work that waits, to no more workers than the machine has cores.
    """
    from recbench.cluster.open import open_cluster

    with open_cluster(where, minimum=minimum, maximum=maximum) as client:
        click.echo(client.scheduler.address)  # type: ignore[union-attr]  # of a live client
        click.echo("Ctrl-C ends it", err=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            while True:  # since Polars' handler of Ctrl-C restarts an endless wait
                time.sleep(POLL_S)
