"""``recbench cluster``: open one, ask how it does, what it is told, and what it would cost."""

import click

from recbench.cli.cluster_manifests import manifests
from recbench.cli.cluster_open import open_
from recbench.cli.cluster_plan import plan
from recbench.cli.cluster_power import advise, power
from recbench.cli.cluster_simulate import simulate
from recbench.cli.cluster_status import status

__all__ = ["cluster"]


@click.group()
def cluster() -> None:
    """One elastic cluster for everything."""


for command in (open_, status, manifests, plan, simulate, power, advise):
    cluster.add_command(command)
