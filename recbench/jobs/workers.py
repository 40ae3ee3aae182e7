"""The Dask workers that a notebook's parameter names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recbench.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["workers"]

LOOPBACK = "127.0.0.1"


@contextmanager
def workers(cluster: str, *, n_workers: int) -> Iterator["Client | None"]:
    """A client of the cluster that a notebook's parameter names; None for an empty name.

    Args:
        cluster: empty, ``"local"``, or the address of a scheduler.
        n_workers: single-threaded processes of a local one, on the loopback interface.

    Raises:
        InputError: another word.
    """
    if not cluster:
        yield None
        return
    if cluster != "local" and "://" not in cluster:
        raise InputError(f"`cluster` must be empty, 'local' or tcp://host:port, got {cluster!r}")
    from distributed import Client, LocalCluster

    if cluster != "local":
        with Client(cluster) as client:  # type: ignore[no-untyped-call]  # Dask's
            yield client
        return
    local = LocalCluster(  # type: ignore[no-untyped-call]  # Dask's
        n_workers=n_workers,
        threads_per_worker=1,
        dashboard_address=f"{LOOPBACK}:0",  # None would ask for port 8787, which another one has
        host=LOOPBACK,
    )
    with local, Client(local) as client:  # type: ignore[no-untyped-call]  # Dask's
        yield client
