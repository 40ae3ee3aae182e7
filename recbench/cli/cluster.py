"""`recbench cluster`: one elastic cluster for everything."""

import click

from recbench.cli.cluster_manifests import manifests
from recbench.cli.cluster_plan import plan
from recbench.cli.cluster_simulate import simulate

__all__ = ["cluster"]


@click.group()
def cluster() -> None:
    """The elastic cluster: what it is told, and what it costs."""


cluster.add_command(manifests)
cluster.add_command(plan)
cluster.add_command(simulate)
