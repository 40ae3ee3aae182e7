"""The HTTP service: two pods that read one registry, at least one of them up at any time."""

from recbench.cluster.kubernetes.pods import (
    WORKSPACE,
    Manifest,
    container,
    labelled,
    pod,
    workspace_volume,
)
from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["APP", "PORT", "disruption_budget", "serve_deployment", "serve_service"]

APP = "recbench-serve"
PORT = 8080
TOKEN_FOLDER = "/run/secrets/recbench"  # a path, not a secret
PAUSE_S, DRAIN_S = 5, 15  # before the signal: no more connections are sent; then the last answers


def serve_deployment(settings: KubernetesSettings) -> Manifest:
    """A ``Deployment`` of two; a new release is taken in within seconds, without a rollout."""
    labels = {"app": APP}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": labelled(settings, APP, **labels),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(settings, labels)},
        },
    }


def serve_service(settings: KubernetesSettings) -> Manifest:
    """A ``Service`` on port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": labelled(settings, APP, app=APP),
        "spec": {
            "selector": {"app": APP},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def disruption_budget(settings: KubernetesSettings) -> Manifest:
    """A ``PodDisruptionBudget``: nodes are emptied one pod of the service at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": labelled(settings, APP),
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": APP}}},
    }


def _pod(settings: KubernetesSettings, labels: dict[str, str]) -> Manifest:
    return pod(
        containers=[_container(settings)],
        volumes=[
            workspace_volume(settings, read_only=True),
            {
                "name": "token",
                "secret": {"secretName": settings.token_secret, "defaultMode": 0o440},
            },
            # releases are laid out there for the workers: the one that serves, and the next one
            {"name": "scratch", "emptyDir": {"sizeLimit": "4Gi"}},
        ],
        # longer than the pause before the signal and the drain together
        terminationGracePeriodSeconds=PAUSE_S + DRAIN_S + 10,
        topologySpreadConstraints=[
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
    )


def _container(settings: KubernetesSettings) -> Manifest:
    ready, live = ({"httpGet": {"path": f"/health/{p}", "port": "http"}} for p in ("ready", "live"))
    return container(
        "serve",
        settings.image_for("serve"),
        args=[
            "--host=0.0.0.0",
            f"--port={PORT}",
            "--workers=2",
            f"--token-file={TOKEN_FOLDER}/token",
            f"--drain={DRAIN_S}s",
        ],
        ports=[{"name": "http", "containerPort": PORT}],
        # a large release takes a while to load
        startupProbe=ready | {"periodSeconds": 2, "failureThreshold": 90},
        readinessProbe=ready | {"periodSeconds": 2, "failureThreshold": 2},
        livenessProbe=live | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3},
        lifecycle={"preStop": {"exec": {"command": ["sleep", str(PAUSE_S)]}}},
        # the limit has room for two releases in each worker: one serves, one is loaded beside it
        requests={"cpu": "2", "memory": "2Gi"},
        limits={"cpu": "2", "memory": "4Gi"},
        mounts=[
            {"name": "workspace", "mountPath": WORKSPACE, "readOnly": True},
            {"name": "token", "mountPath": TOKEN_FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},  # a volume of the pod's own
        ],
    )
