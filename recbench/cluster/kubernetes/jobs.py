"""What runs by the clock: a refresh every quarter of an hour, a rebuild every night.

The pods of these jobs only ask: a worker of the Dask cluster carries the notebook out.
"""

from recbench.cluster.kubernetes.pods import (
    CLIENT_LABEL,
    WORKSPACE,
    Manifest,
    container,
    labelled,
    pod,
    runs_environment,
    workspace_volume,
)
from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["rebuild_cron_job", "refresh_cron_job"]

APP = "recbench-jobs"
SIZE = {"cpu": "1", "memory": "2Gi"}  # of a process that asks, and passes on what it hears
REFUSED = 2  # exit code of `recbench run` for input that no second try would mend


def refresh_cron_job(settings: KubernetesSettings) -> Manifest:
    """A ``CronJob`` that takes in what is new; a worn-out model is left to the rebuild."""
    return _cron_job(
        settings,
        "refresh",
        schedule=settings.refresh,
        deadline_s=settings.refresh_deadline_s,
        # one that starts later would run into the next
        start_within_s=60,
        run=["05_incremental_refresh", "-p", "full_rebuild=false"],
    )


def rebuild_cron_job(settings: KubernetesSettings) -> Manifest:
    """A ``CronJob`` that fits anew from the whole log."""
    return _cron_job(
        settings,
        "rebuild",
        schedule=settings.rebuild,
        deadline_s=settings.rebuild_deadline_s,
        start_within_s=3600,
        run=["00_pipeline", "-p", "fresh=0.0"],
    )


def _cron_job(
    settings: KubernetesSettings,
    what: str,
    *,
    schedule: str,
    deadline_s: int,
    start_within_s: int,
    run: list[str],
) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": labelled(settings, f"recbench-{what}", app=APP),
        "spec": {
            "schedule": schedule,
            "timeZone": settings.time_zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": start_within_s,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 5,
            "jobTemplate": {"spec": _job(settings, what, deadline_s=deadline_s, run=run)},
        },
    }


def _job(settings: KubernetesSettings, what: str, *, deadline_s: int, run: list[str]) -> Manifest:
    return {
        "activeDeadlineSeconds": deadline_s,
        "backoffLimit": 1,
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"operator": "In", "values": [REFUSED]},
                },
                # a node that goes away is no fault of the job's
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "template": {
            "metadata": {"labels": {"app": APP, CLIENT_LABEL: "true"}},
            "spec": _pod(settings, what, run=run),
        },
    }


def _pod(settings: KubernetesSettings, what: str, *, run: list[str]) -> Manifest:
    table = f"data={WORKSPACE}/{settings.table}"
    job = container(
        what,
        settings.image_for("jobs"),
        args=["recbench", "run", *run, "-p", table, "--on", settings.scheduler_address],
        env=runs_environment(settings, cpu=SIZE["cpu"]),
        requests=SIZE,
        limits=SIZE,
        mounts=[
            {"name": "workspace", "mountPath": WORKSPACE},
            {"name": "scratch", "mountPath": "/tmp"},  # a volume of the pod's own
        ],
    )
    return pod(
        containers=[job],
        volumes=[
            workspace_volume(settings),
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
        restartPolicy="Never",
        shareProcessNamespace=True,  # else it is process 1, which the signal to end does not end
    )
