"""A schedule as a CronJob of Kubernetes: what it can say there, and what it cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from recbench.cluster.kubernetes.jobs import notebook_cron_job
from recbench.cluster.kubernetes.pods import Manifest
from recbench.cluster.kubernetes.settings import KubernetesSettings
from recbench.errors import InputError
from recbench.jobs.schedules.plan import GRACE
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.times import Cron, Times

__all__ = ["cron_job", "left_behind"]

DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60


def cron_job(schedule: Schedule, settings: KubernetesSettings) -> Manifest:
    """A ``CronJob`` that runs the notebook of the same name in the image, by the same clock.

    Raises:
        InputError: it makes up for every missed time, or its distance is none that cron has.
    """
    if schedule.missed == "all":
        raise InputError(
            f"`{schedule.name}` makes up for each missed time; Kubernetes makes up for the last "
            "only: choose --missed once or skip"
        )
    expression, zone = _cron(schedule.times)
    n_attempts = schedule.retries + 1
    return notebook_cron_job(
        replace(settings, time_zone=zone),
        schedule.name.lower().replace("_", "-").replace(".", "-"),
        schedule=expression,
        run=[Path(schedule.notebook).stem, *_parameters(schedule)],
        deadline_s=int(schedule.timeout_s * n_attempts) if schedule.timeout_s else None,
        start_within_s=GRACE.seconds if schedule.missed == "skip" else None,
        retries=schedule.retries,
        may_overlap=schedule.overlap,
    )


def left_behind(schedule: Schedule) -> list[str]:
    """What the schedule says and a CronJob does not; a line each."""
    lines = []
    if schedule.notify_command or schedule.notify_url:
        lines.append("Kubernetes notifies nobody; let your monitoring watch failed jobs")
    if schedule.within_s is not None:
        lines.append("a CronJob begins at its time: it does not wait for cheap hours")
    if schedule.idle:
        lines.append("a pod's share of its node is what it requests, not its threads' priority")
    if schedule.retries:
        lines.append("a retry is a new pod: it begins a new run, with Kubernetes' own back-off")
    if schedule.timeout_s and schedule.retries:
        lines.append("the time-out bounds all attempts together")
    return lines


def _parameters(schedule: Schedule) -> list[str]:
    texts = [f"{name}={_text(value)}" for name, value in schedule.parameters.items()]
    return [part for text in texts for part in ("-p", text)]


def _text(value: Any) -> str:
    """As ``-p name=...`` reads it."""
    return value if isinstance(value, str) else repr(value)


def _cron(times: Times) -> tuple[str, str]:
    if isinstance(times, Cron):
        return times.expression, times.zone
    seconds = times.seconds
    if seconds < HOUR_S and HOUR_S % seconds == 0 and seconds % MINUTE_S == 0:
        return f"*/{seconds / MINUTE_S:.0f} * * * *", "Etc/UTC"
    if seconds < DAY_S and DAY_S % seconds == 0 and seconds % HOUR_S == 0:
        return f"0 */{seconds / HOUR_S:.0f} * * *", "Etc/UTC"
    if seconds == DAY_S:
        return "0 0 * * *", "Etc/UTC"
    raise InputError(f"Cron has no `{times}`; say it with --cron")
