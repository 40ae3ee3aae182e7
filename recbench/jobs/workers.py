"""The Dask workers that a notebook's parameter names, or those that its own job runs on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recbench.cluster.current import current_client
from recbench.cluster.open import open_cluster

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["workers"]


@contextmanager
def workers(cluster: str, *, n_workers: int) -> Iterator["Client | None"]:
    """A client of the cluster that a notebook's parameter names.

    Args:
        cluster: as for ``open_cluster``; empty: the one that ``recbench run --on`` named, or None.
        n_workers: of a cluster that is started here; it stays at that size.

    Raises:
        InputError: as ``open_cluster``.
    """
    if not cluster:
        yield current_client()
        return
    with open_cluster(cluster, minimum=n_workers, maximum=n_workers) as client:
        yield client
