"""The Dask cluster for its operator: scheduler, workers on CPUs and on GPUs, autoscaler."""

import json
from typing import Any, Literal

from recbench.cluster.kubernetes.pods import (
    WORKSPACE,
    Manifest,
    container,
    labelled,
    names_and_values,
    pod,
    runs_environment,
    workspace_volume,
)
from recbench.cluster.kubernetes.settings import Device, KubernetesSettings
from recbench.cluster.on_gpus import POOL_FRAC
from recbench.cluster.tariff import TARIFF_VARIABLE

__all__ = [
    "LIMITS_VARIABLE",
    "SCHEDULER_PRELOAD",
    "autoscaler_spec",
    "dask_cluster_spec",
    "other_workers_spec",
]

API = "kubernetes.dask.org/v1"

SCHEDULER_PRELOAD = "recbench.cluster.kubernetes.preload"  # a module that it loads at its start
LIMITS_VARIABLE = "RECBENCH_SCALING_LIMITS"  # minimum-maximum of our policy; unset: Dask's own rule
ROUTES = (
    "distributed.http.scheduler.prometheus",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    # not among Dask's own: without it the operator cannot ask which workers to retire
    "distributed.http.scheduler.api",
    "distributed.http.health",
    "distributed.http.proxy",
    "distributed.http.statics",
)
WORKER_TTL = "15s"  # a worker that says nothing for so long is given up; Dask's own: 300 s
DEATH_TIMEOUT = "60s"  # a worker without a scheduler ends, and its pod starts it again

SCHEDULER_SIZE = {"cpu": "1", "memory": "4Gi"}
SCRATCH = "50Gi"  # what a worker may spill to its node's disk
GPU = "nvidia.com/gpu"
# the node autoscaler moves pods between nodes to save some, and would take busy ranks with them
STAY = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}

# ports by name: the operator's schema knows no numbers there
HEALTH = {"httpGet": {"port": "http-dashboard", "path": "/health"}}
PORTS = {"tcp-comm": 8786, "http-dashboard": 8787}


def dask_cluster_spec(settings: KubernetesSettings) -> Manifest:
    """A ``DaskCluster`` whose default workers are those that ``settings.scaled`` names.

    It stands for itself: configuration is in its environment, and all that it expects in its
    namespace is the claim, the account ``recbench``, and the secret of W&B where one is named.
    ``KubeCluster(custom_cluster_spec=...)`` takes it.
    """
    return {
        "apiVersion": API,
        "kind": "DaskCluster",
        "metadata": labelled(settings, settings.name),
        "spec": {
            "scheduler": {
                "metadata": {"annotations": STAY},
                "spec": _scheduler_pod(settings),
                "service": _scheduler_service(settings),
            },
            "worker": _workers(settings, settings.scaled, replicas=settings.minimum),
        },
    }


def other_workers_spec(settings: KubernetesSettings) -> Manifest:
    """A ``DaskWorkerGroup`` of the other device than the default workers'; nobody scales it."""
    device: Device = "gpu" if settings.scaled == "cpu" else "cpu"
    return {
        "apiVersion": API,
        "kind": "DaskWorkerGroup",
        "metadata": labelled(settings, f"{settings.name}-{device}"),
        "spec": {
            "cluster": settings.name,
            "worker": _workers(settings, device, replicas=settings.other_workers),
        },
    }


def autoscaler_spec(settings: KubernetesSettings) -> Manifest:
    """A ``DaskAutoscaler``: the operator asks the scheduler every five seconds how many to have."""
    return {
        "apiVersion": API,
        "kind": "DaskAutoscaler",
        "metadata": labelled(settings, settings.name),
        "spec": {
            "cluster": settings.name,
            "minimum": settings.minimum,
            "maximum": settings.maximum,
        },
    }


def _scheduler_pod(settings: KubernetesSettings) -> Manifest:
    configuration = {
        "HOME": "/tmp",  # a volume of the pod's own
        "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": json.dumps(ROUTES),
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": WORKER_TTL,
    }
    if settings.rule == "deadlines":
        configuration[LIMITS_VARIABLE] = f"{settings.minimum}-{settings.maximum}"
    mounts: list[Manifest] = [{"name": "scratch", "mountPath": "/tmp"}]
    volumes: list[Manifest] = [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]
    if settings.tariff:
        configuration[TARIFF_VARIABLE] = f"{WORKSPACE}/{settings.tariff}"
        mounts.append({"name": "workspace", "mountPath": WORKSPACE, "readOnly": True})
        volumes.append(workspace_volume(settings, read_only=True))
    return pod(
        containers=[
            container(
                "scheduler",
                settings.image_for("jobs"),
                args=["dask", "scheduler", "--host=0.0.0.0", f"--preload={SCHEDULER_PRELOAD}"],
                env=names_and_values(configuration),
                ports=[_port(name, number) for name, number in PORTS.items()],
                readinessProbe=HEALTH | {"periodSeconds": 2, "timeoutSeconds": 5},
                livenessProbe=HEALTH | {"periodSeconds": 20, "timeoutSeconds": 10},
                requests=SCHEDULER_SIZE,
                limits=SCHEDULER_SIZE,
                mounts=mounts,
            )
        ],
        volumes=volumes,
    )


def _scheduler_service(settings: KubernetesSettings) -> Manifest:
    return {
        "type": "ClusterIP",
        "selector": {
            "dask.org/cluster-name": settings.name,
            "dask.org/component": "scheduler",
        },
        "ports": [
            {"name": name, "protocol": "TCP", "port": number, "targetPort": name}
            for name, number in PORTS.items()
        ],
    }


def _workers(settings: KubernetesSettings, device: Device, *, replicas: int) -> Manifest:
    spec = _gpu_worker_pod(settings) if device == "gpu" else _cpu_worker_pod(settings)
    return {"replicas": replicas, "metadata": {"annotations": STAY}, "spec": spec}


def _cpu_worker_pod(settings: KubernetesSettings) -> Manifest:
    size = {"cpu": settings.worker_cpu, "memory": settings.worker_memory}
    return _worker_pod(settings, "jobs", command=["dask", "worker"], size=size)


def _gpu_worker_pod(settings: KubernetesSettings) -> Manifest:
    size = {"cpu": settings.gpu_worker_cpu, "memory": settings.gpu_worker_memory, GPU: "1"}
    return _worker_pod(
        settings,
        "gpu",
        # so that tasks can ask for one: client.submit(..., resources={"GPU": 1})
        command=["dask", "cuda", "worker", f"--rmm-pool-size={POOL_FRAC}", "--resources=GPU=1"],
        size=size,
        tolerations=[{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
    )


def _worker_pod(
    settings: KubernetesSettings,
    role: Literal["jobs", "gpu"],
    *,
    command: list[str],
    size: dict[str, str],
    **more: Any,
) -> Manifest:
    # No probes: one that is busy importing or computing may not answer for long, and the scheduler
    # gives up those that say nothing.
    options = [
        "--name=$(DASK_WORKER_NAME)",  # the operator deletes pods by the names of workers
        "--nthreads=1",  # one rank or job at a time; torch and Polars take all cores by themselves
        "--dashboard-address=:8788",
        "--local-directory=/tmp/dask",
        f"--death-timeout={DEATH_TIMEOUT}",
    ]
    worker = container(
        "worker",
        settings.image_for(role),
        args=[*command, *options],
        env=runs_environment(settings, cpu=size["cpu"]),
        ports=[_port("http-dashboard", 8788)],
        requests=size,
        limits=size,
        mounts=[
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "shared", "mountPath": "/dev/shm"},
        ],
    )
    volumes = [
        workspace_volume(settings),
        {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH}},
        # NCCL and loaders of batches exchange data there; the default of 64 MB is too small
        {"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
    ]
    # by sharing, what is left of killed ranks and kernels is cleared away
    return pod(containers=[worker], volumes=volumes, shareProcessNamespace=True, **more)


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "containerPort": number, "protocol": "TCP"}
