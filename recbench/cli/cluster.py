"""``recbench cluster``: what a cluster would cost, simulated and planned."""

import click

from recbench.cli.cluster_plan import plan
from recbench.cli.cluster_simulate import simulate

__all__ = ["cluster"]


@click.group()
def cluster() -> None:
    """Plan a cluster, and try scaling policies on simulated days."""


cluster.add_command(simulate)
cluster.add_command(plan)
