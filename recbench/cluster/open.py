"""A cluster by its name: one call, one context manager, the same client everywhere."""

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from recbench.cluster.load import Hours, Policy
from recbench.errors import InputError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

__all__ = ["KINDS", "open_cluster"]

KINDS = ("local", "cuda", "kubernetes")
CONNECT_TIMEOUT_S = 30


@contextmanager
def open_cluster(
    where: str,
    *,
    minimum: int = 2,
    maximum: int = 64,
    policy: Policy | None = None,
    hours: Hours | None = None,
    worker_memory_bytes: int | None = None,
    security: "Security | None" = None,
) -> Iterator["Client"]:
    """A client of the cluster that ``where`` names; what was started here ends with the block.

    Args:
        where: ``"local"``: processes of this machine on the loopback interface, with one thread
            each. ``"cuda"``: one process for each of its GPUs. ``"kubernetes"``: pods that Dask's
            operator starts. ``"tcp://host:port"``, ``"tls://..."``: a scheduler that runs already
            and is scaled by whoever started it.
        minimum: workers that are there from the beginning and stay.
        maximum: workers that there may be. Without a policy a local cluster has no more than the
            machine has cores, or ``minimum``.
        policy: how many workers there should be now, such as ``ScalingPolicy(...).target``; None:
            as many as Dask's own rule says. No worker that runs a rank or a notebook is taken.
        hours: price, carbon and power for the policy of a local cluster, now and forecast, such as
            ``TariffFile(path)``; None: all hours are alike. Kubernetes' scheduler is told by
            ``recbench cluster manifests --tariff``.
        worker_memory_bytes: at which a worker is ended; None: an equal share of the machine's.
        security: certificates; needed wherever the scheduler does not listen on loopback.

    Raises:
        InputError: another name, numbers that contradict each other, an option that ``where`` has
            no use for, a package or a GPU or a cluster configuration that is missing, or a
            scheduler that does not answer.
    """
    if not 1 <= minimum <= maximum:
        raise InputError(
            f"`minimum` and `maximum` must be 1 <= minimum <= maximum, got {minimum} and {maximum}"
        )
    if hours is not None and (where != "local" or policy is None):
        raise InputError(
            f"`hours` are for the `policy` of a local cluster, got {where!r}, {policy}"
        )
    if importlib.util.find_spec("distributed") is None:
        raise InputError("A cluster needs Dask: pip install 'recbench[cluster]'")
    if "://" in where:
        if policy is not None or worker_memory_bytes is not None:
            raise InputError(f"`{where}` is scaled and sized by whoever started it")
        opened: AbstractContextManager[Client] = _connected(where, security=security)
    elif security is not None:
        raise InputError(f"`security` is for a scheduler's address, got {where!r}")
    else:
        opened = _started(where, minimum, maximum, policy, hours, worker_memory_bytes)
    with opened as client:
        yield client


@contextmanager
def _connected(address: str, *, security: "Security | None") -> Iterator["Client"]:
    from recbench.cluster.run_client import RunClient

    try:
        client = RunClient(address, security=security, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError, TypeError) as error:  # a TypeError: no certificates for tls://
        raise InputError(f"No scheduler answers at `{address}`: {error}") from error
    with client:
        yield client


def _started(
    where: str,
    minimum: int,
    maximum: int,
    policy: Policy | None,
    hours: Hours | None,
    worker_memory_bytes: int | None,
) -> AbstractContextManager["Client"]:
    if where == "local":
        from recbench.cluster.on_this_machine import local_cluster

        return local_cluster(
            minimum=minimum,
            maximum=maximum,
            policy=policy,
            hours=hours,
            worker_memory_bytes=worker_memory_bytes,
        )
    if where == "cuda":
        from recbench.cluster.on_gpus import cuda_cluster

        return cuda_cluster(worker_memory_bytes=worker_memory_bytes)
    if where == "kubernetes":
        from recbench.cluster.on_kubernetes import kubernetes_cluster

        return kubernetes_cluster(
            minimum=minimum,
            maximum=maximum,
            policy=policy,
            worker_memory_bytes=worker_memory_bytes,
        )
    raise InputError(
        f"There is no cluster {where!r}; choose {', '.join(KINDS)} or the address of a scheduler, "
        "such as tcp://127.0.0.1:8786"
    )
