"""Who may do what: the namespace, an account without rights, and one that may open clusters."""

from recbench.cluster.kubernetes.pods import ACCOUNT, Manifest, labelled
from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["accounts", "namespace", "rights_to_open_clusters", "workspace_claim"]

RBAC = "rbac.authorization.k8s.io"
DRIVER = "recbench-driver"  # account of who opens clusters from within Kubernetes

# what dask_kubernetes' KubeCluster calls: create, connect, scale, adapt, close, logs
RULES = (
    ("kubernetes.dask.org", ["daskclusters"], ["get", "list", "create", "delete"]),
    ("kubernetes.dask.org", ["daskworkergroups"], ["get", "list", "create", "patch", "delete"]),
    ("kubernetes.dask.org", ["daskautoscalers"], ["create", "patch", "delete"]),
    ("", ["pods", "services"], ["get", "list"]),
    ("", ["pods/log"], ["get"]),
)


def namespace(settings: KubernetesSettings) -> Manifest:
    """The namespace, in which Kubernetes itself refuses pods that want more than they should."""
    level = "pod-security.kubernetes.io/{}"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": settings.namespace,
            "labels": {level.format(mode): "restricted" for mode in ("enforce", "warn")},
        },
    }


def accounts(settings: KubernetesSettings) -> list[Manifest]:
    """Two accounts: of all pods, without any right, and of whoever opens clusters."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": labelled(settings, name),
            "automountServiceAccountToken": False,
        }
        for name in (ACCOUNT, DRIVER)
    ]


def rights_to_open_clusters(settings: KubernetesSettings) -> list[Manifest]:
    """What ``open_cluster("kubernetes")`` needs in this namespace, given to one account."""
    return [
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "Role",
            "metadata": labelled(settings, DRIVER),
            "rules": [
                {"apiGroups": [group], "resources": resources, "verbs": verbs}
                for group, resources, verbs in RULES
            ],
        },
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": labelled(settings, DRIVER),
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": DRIVER},
            "subjects": [
                {"kind": "ServiceAccount", "name": DRIVER, "namespace": settings.namespace}
            ],
        },
    ]


def workspace_claim(settings: KubernetesSettings) -> Manifest:
    """The claim that every pod mounts, wherever it runs."""
    storage_class = {"storageClassName": settings.storage_class} if settings.storage_class else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": labelled(settings, settings.claim),
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": settings.storage}},
        }
        | storage_class,
    }
