"""Who may talk to whom: the cluster and its clients to one another, anybody to the service.

All may ask for names. Nothing else is let through, so brokers, Redis or object stores that jobs or
the service read are to be added where they are used.
"""

from recbench.cluster.kubernetes.dask import PORTS
from recbench.cluster.kubernetes.pods import CLIENT_LABEL, Manifest, labelled
from recbench.cluster.kubernetes.serving import APP
from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["network_policies"]

# to anywhere, because a node's own cache of names has no pod
NAMES: Manifest = {
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}
HTTPS: Manifest = {"ports": [{"protocol": "TCP", "port": 443}]}


def network_policies(settings: KubernetesSettings) -> list[Manifest]:
    """Policies for Dask clusters, their clients and the service."""
    return [
        *_cluster_policies(settings),
        _policy(
            settings,
            APP,
            pods={"matchLabels": {"app": APP}},
            ingress={"ports": [_port("http")]},
            egress=[NAMES],
        ),
    ]


def _cluster_policies(settings: KubernetesSettings) -> list[Manifest]:
    # of any Dask cluster here: whoever may open one gives it a name of its own
    cluster = {"matchExpressions": [{"key": "dask.org/cluster-name", "operator": "Exists"}]}
    scheduler = cluster | {"matchLabels": {"dask.org/component": "scheduler"}}
    clients = {"matchLabels": {CLIENT_LABEL: "true"}}
    # on any port: workers and the stores of training runs take free ones
    among = [{"podSelector": pods} for pods in (cluster, clients)]
    egress = [{"to": among}, NAMES, *([HTTPS] if settings.wandb_secret else [])]
    operator = {
        "from": [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": settings.operator_namespace}
                }
            }
        ],
        "ports": [_port(number) for number in PORTS.values()],
    }
    return [
        _policy(settings, name, pods=pods, ingress=ingress, egress=egress)
        for name, pods, ingress in (
            ("recbench-cluster", cluster, {"from": among}),
            ("recbench-clients", clients, {"from": among}),
            ("recbench-scheduler", scheduler, operator),
        )
    ]


def _policy(
    settings: KubernetesSettings,
    name: str,
    *,
    pods: Manifest,
    ingress: Manifest,
    egress: list[Manifest],
) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": labelled(settings, name),
        "spec": {
            "podSelector": pods,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [ingress],
            "egress": egress,
        },
    }


def _port(port: int | str) -> Manifest:
    return {"protocol": "TCP", "port": port}
