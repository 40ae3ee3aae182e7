"""`recbench cluster`: one elastic cluster for everything."""

import click

from recbench.cli.cluster_manifests import manifests

__all__ = ["cluster"]


@click.group()
def cluster() -> None:
    """The elastic cluster: what it is told, and what it costs."""


cluster.add_command(manifests)
