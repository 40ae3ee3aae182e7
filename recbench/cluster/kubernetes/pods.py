"""What all pods have in common: no root, no rights, nothing writable but what is mounted."""

from collections.abc import Mapping
from typing import Any

from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = [
    "ACCOUNT",
    "CLIENT_LABEL",
    "WORKSPACE",
    "Manifest",
    "container",
    "labelled",
    "names_and_values",
    "pod",
    "runs_environment",
    "workspace_volume",
]

Manifest = dict[str, Any]

ACCOUNT = "recbench"  # of every pod
USER = 10_001  # of every image
WORKSPACE = "/workspace"
# each would be 1 in a worker that does not say otherwise
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CLIENT_LABEL = "recbench-client"  # of pods that may talk to the Dask cluster


def labelled(settings: KubernetesSettings, name: str, **labels: str) -> Manifest:
    """Metadata of an object called ``name``."""
    metadata: Manifest = {"name": name, "namespace": settings.namespace}
    return metadata | ({"labels": labels} if labels else {})


def container(
    name: str,
    image: str,
    *,
    args: list[str],
    requests: Mapping[str, str],
    limits: Mapping[str, str],
    mounts: list[Manifest],
    **more: Any,
) -> Manifest:
    """A container without privileges, whose own files cannot be changed.

    Args:
        name: of the container.
        image: with its tag.
        args: what the image runs, by its entry point where it has one.
        requests: amounts that are set aside.
        limits: amounts that it may take.
        mounts: volumes of the pod.
        **more: further fields of Kubernetes' Container.
    """
    return {
        "name": name,
        "image": image,
        "args": args,
        **more,
        "resources": {"requests": dict(requests), "limits": dict(limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def pod(*, containers: list[Manifest], volumes: list[Manifest], **more: Any) -> Manifest:
    """A pod of an ordinary user that cannot talk to Kubernetes, within the `restricted` standard.

    Args:
        containers: as ``container`` makes them.
        volumes: that they mount.
        **more: further fields of Kubernetes' PodSpec.
    """
    return {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        **more,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # else each pod that starts walks the whole claim
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": volumes,
    }


def workspace_volume(settings: KubernetesSettings, *, read_only: bool = False) -> Manifest:
    """The claim, as the volume ``workspace``."""
    claim: Manifest = {"claimName": settings.claim}
    if read_only:
        claim["readOnly"] = True
    return {"name": "workspace", "persistentVolumeClaim": claim}


def runs_environment(settings: KubernetesSettings, *, cpu: str) -> list[Manifest]:
    """Environment of everything that runs notebooks and models, on ``cpu`` cores.

    The home lies in ``/tmp``, which is writable: kernels, matplotlib and W&B keep files there.
    """
    environment = names_and_values(
        {
            "HOME": "/tmp",  # a volume of the pod's own
            **dict.fromkeys(THREADS, "1" if cpu.endswith("m") else cpu),
            "RECBENCH_RUNS": f"{WORKSPACE}/papermill_runs",
            "RECBENCH_WORKSPACE": WORKSPACE,
        }
    )
    if settings.wandb_secret:
        source = {"secretKeyRef": {"name": settings.wandb_secret, "key": "api-key"}}
        environment.append({"name": "WANDB_API_KEY", "valueFrom": source})
    return environment


def names_and_values(values: Mapping[str, str]) -> list[Manifest]:
    """Environment variables as Kubernetes lists them."""
    return [{"name": name, "value": value} for name, value in values.items()]
