"""The manifests as files: what lies in which, in the order in which kubectl takes them."""

import json
from typing import Any

from recbench.cluster.kubernetes.access import (
    accounts,
    namespace,
    rights_to_open_clusters,
    workspace_claim,
)
from recbench.cluster.kubernetes.dask import (
    autoscaler_spec,
    dask_cluster_spec,
    other_workers_spec,
)
from recbench.cluster.kubernetes.jobs import rebuild_cron_job, refresh_cron_job
from recbench.cluster.kubernetes.network import network_policies
from recbench.cluster.kubernetes.pods import Manifest
from recbench.cluster.kubernetes.serving import disruption_budget, serve_deployment, serve_service
from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["manifest_files", "manifests"]

MADE_BY = "Made by `recbench cluster manifests`: change its options and run it again."
ABOUT = {
    "access.yaml": (
        "The namespace, the account of all pods (without rights), and one that may open clusters.",
        "First by name, because the rest lies in that namespace.",
    ),
    "cluster.yaml": (
        "The Dask cluster for its operator: a scheduler, the workers that the autoscaler adds and",
        "takes away, and a group of the other kind, none of them until somebody asks for some.",
    ),
    "jobs.yaml": (
        "What runs by the clock. What is killed is started once more; a refresh then goes on after",
        "its last finished step.",
    ),
    "network.yaml": (
        "The cluster's pods and the jobs talk to one another, the operator to the scheduler,",
        "anybody to the service's port. Brokers, Redis and object stores are to be added.",
    ),
    "serve.yaml": (
        "The HTTP service: two pods that read one registry, at least one of them up at any time.",
        "  kubectl -n {namespace} create secret generic {token_secret} --from-file=token",
        "The claim `{claim}` is where refreshes publish; the service mounts it read-only and",
        "takes in a new release within seconds, so nothing is rolled out for one.",
    ),
    "workspace.yaml": ("Lake, registry and runs: mounted by every pod, so it must be shared.",),
}


def manifests(settings: KubernetesSettings) -> dict[str, list[Manifest]]:
    """File name to the objects in it."""
    return {
        "access.yaml": [
            namespace(settings),
            *accounts(settings),
            *rights_to_open_clusters(settings),
        ],
        "cluster.yaml": [
            dask_cluster_spec(settings),
            other_workers_spec(settings),
            autoscaler_spec(settings),
        ],
        "jobs.yaml": [refresh_cron_job(settings), rebuild_cron_job(settings)],
        "network.yaml": network_policies(settings),
        "serve.yaml": [
            serve_deployment(settings),
            serve_service(settings),
            disruption_budget(settings),
        ],
        "workspace.yaml": [workspace_claim(settings)],
    }


def manifest_files(settings: KubernetesSettings) -> dict[str, str]:
    """File name to its text: comments, then YAML documents."""
    import yaml

    names = {what: getattr(settings, what) for what in ("namespace", "token_secret", "claim")}
    return {
        name: "".join(f"# {line}\n" for line in (*ABOUT[name], MADE_BY)).format(**names)
        + yaml.safe_dump_all(_apart(objects), sort_keys=False, width=100)
        for name, objects in manifests(settings).items()
    }


def _apart(objects: list[Manifest]) -> Any:
    """Copies that share nothing: YAML would refer back to what occurs twice."""
    return json.loads(json.dumps(objects))
