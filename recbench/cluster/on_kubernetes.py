"""A Dask cluster of its own on Kubernetes, started and scaled by Dask's operator."""

import importlib.util
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recbench.cluster.load import Policy
from recbench.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["kubernetes_cluster"]

IN_A_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@contextmanager
def kubernetes_cluster(
    *, minimum: int, maximum: int, policy: Policy | None, worker_memory_bytes: int | None
) -> Iterator["Client"]:
    """A client of a new cluster in the namespace ``recbench``; deleted when the block is left.

    Its pods are those of ``environments/k8s``: the claim, the account and the operator must be
    there. One that is deployed already is reached by its address instead.

    Raises:
        InputError: ``dask_kubernetes`` is not installed, or nothing says where Kubernetes is.
    """
    _require_access()
    from dask_kubernetes.operator import KubeCluster
    from distributed import Client

    from recbench.cluster.adaptive import ScalingPlugin
    from recbench.cluster.kubernetes.dask import dask_cluster_spec
    from recbench.cluster.kubernetes.settings import KubernetesSettings

    name = f"recbench-{uuid.uuid4().hex[:6]}"
    settings = KubernetesSettings(name=name, minimum=minimum, maximum=maximum, rule="dask")
    if worker_memory_bytes is not None:
        settings = replace(settings, worker_memory=f"{worker_memory_bytes >> 20}Mi")
    with (
        KubeCluster(
            custom_cluster_spec=dask_cluster_spec(settings),
            namespace=settings.namespace,
            shutdown_on_close=True,
            quiet=True,
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]  # Dask's
    ):
        if policy is not None:  # the scheduler's pod answers by Dask's own rule until then
            client.register_plugin(ScalingPlugin(policy))
        if maximum > minimum:
            cluster.adapt(minimum=minimum, maximum=maximum)
        yield client


def _require_access() -> None:
    if importlib.util.find_spec("dask_kubernetes") is None:
        raise InputError("A `kubernetes` cluster needs more: pip install 'recbench[k8s]'")
    named = [Path(path) for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    places = [*named, IN_A_POD] if named else [Path.home() / ".kube" / "config", IN_A_POD]
    if not any(place.exists() for place in places):
        raise InputError(
            "A `kubernetes` cluster needs a configuration that says where it is: there is none at "
            f"{' or '.join(map(str, places))}. Set KUBECONFIG, or run `kubectl config view`"
        )
