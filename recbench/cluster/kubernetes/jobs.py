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
from recbench.cluster.kubernetes.spelling import check_name, check_schedule

__all__ = ["notebook_cron_job", "rebuild_cron_job", "refresh_cron_job"]

APP = "recbench-jobs"
LONGEST_CRON_JOB = 52  # Kubernetes appends the minute to the names of its jobs
SIZE = {"cpu": "1", "memory": "2Gi"}  # of a process that asks, and passes on what it hears
REFUSED = 2  # exit code of `recbench run` for input that no second try would mend


def refresh_cron_job(settings: KubernetesSettings) -> Manifest:
    """A ``CronJob`` that takes in what is new; a worn-out model is left to the rebuild."""
    return notebook_cron_job(
        settings,
        "refresh",
        schedule=settings.refresh,
        deadline_s=settings.refresh_deadline_s,
        # one that starts later would run into the next
        start_within_s=60,
        run=["05_incremental_refresh", "-p", "full_rebuild=false", *_data(settings)],
    )


def rebuild_cron_job(settings: KubernetesSettings) -> Manifest:
    """A ``CronJob`` that fits anew from the whole log."""
    return notebook_cron_job(
        settings,
        "rebuild",
        schedule=settings.rebuild,
        deadline_s=settings.rebuild_deadline_s,
        start_within_s=3600,
        run=["00_pipeline", "-p", "fresh=0.0", *_data(settings)],
    )


def notebook_cron_job(
    settings: KubernetesSettings,
    what: str,
    *,
    schedule: str,
    run: list[str],
    deadline_s: int | None = None,
    start_within_s: int | None = None,
    retries: int = 1,
    may_overlap: bool = False,
) -> Manifest:
    """A ``CronJob`` that runs any notebook on the Dask cluster.

    Args:
        settings: where; its time zone is the schedule's.
        what: the object is called ``recbench-`` and this.
        schedule: as cron says it.
        run: what follows ``recbench run``.
        deadline_s: after which the job is ended, its retries included; None: never.
        start_within_s: of its time; later it is left out. None: however late.
        retries: new pods after one that failed.
        may_overlap: whether it may start while the one before still runs.

    Raises:
        InputError: a name or a schedule that Kubernetes would not take.
    """
    check_name("name", f"recbench-{what}", longest=LONGEST_CRON_JOB)
    check_schedule("cron", schedule)
    job = {"activeDeadlineSeconds": deadline_s, "backoffLimit": retries}
    spec = {
        "schedule": schedule,
        "timeZone": settings.time_zone,
        "concurrencyPolicy": "Allow" if may_overlap else "Forbid",
        "startingDeadlineSeconds": start_within_s,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 5,
        "jobTemplate": {"spec": _known(job) | _job(settings, what, run=run)},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": labelled(settings, f"recbench-{what}", app=APP),
        "spec": _known(spec),
    }


def _known(fields: Manifest) -> Manifest:
    return {name: value for name, value in fields.items() if value is not None}


def _data(settings: KubernetesSettings) -> list[str]:
    return ["-p", f"data={WORKSPACE}/{settings.table}"]


def _job(settings: KubernetesSettings, what: str, *, run: list[str]) -> Manifest:
    return {
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
    job = container(
        what,
        settings.image_for("jobs"),
        args=["recbench", "run", *run, "--on", settings.scheduler_address],
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
