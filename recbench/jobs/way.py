"""Who carries a run out, by the name of a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

from recbench.jobs.run import Way

__all__ = ["way_to"]


@contextmanager
def way_to(where: str | None) -> "Iterator[Way | None]":
    """This process (None), or the workers of a cluster that is open as long as the block runs.

    Raises:
        InputError: no such cluster, or it does not answer.
    """
    if where is None:
        yield None
        return
    from recbench.cluster.open import open_cluster
    from recbench.jobs.on_cluster import OnCluster

    with open_cluster(where) as client:
        yield OnCluster(client)
