"""Telling somebody how a scheduled run ended: a command with variables, or a POST of JSON."""

import http.client
import json
import os
import subprocess
import urllib.request
from typing import Any

from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.state import Occurrence

__all__ = ["facts", "notify"]

COMMAND_LIMIT_S = 60
POST_LIMIT_S = 10
LAST = 200  # characters of what a failed command said


def facts(schedule: Schedule, occurrence: Occurrence) -> dict[str, Any]:
    """What is told: plain values, None where there is none."""
    run = occurrence.run
    return {
        "schedule": schedule.name,
        "notebook": schedule.notebook,
        "due": occurrence.due.isoformat(),
        "count": occurrence.count,
        "status": occurrence.outcome,
        "attempts": len(occurrence.attempts),
        "run": run and os.path.basename(run),  # noqa: PTH119 - a path of any machine
        "folder": run,
        "error": occurrence.reason,
    }


def notify(schedule: Schedule, occurrence: Occurrence) -> str:
    """Tell by each way that the schedule names; what became of it, in words. Never raises.

    The command gets ``RECBENCH_SCHEDULE``, ``RECBENCH_STATUS``, ``RECBENCH_RUN``,
    ``RECBENCH_FOLDER``, ``RECBENCH_DUE``, ``RECBENCH_ERROR`` and so on, empty where there is
    nothing to say; it may take a minute, the POST ten seconds.
    """
    told = facts(schedule, occurrence)
    said = []
    if schedule.notify_command:
        said.append(f"command: {_command(schedule.notify_command, told)}")
    if schedule.notify_url:
        said.append(f"url: {_post(schedule.notify_url, told)}")
    return "; ".join(said)


def _command(command: tuple[str, ...], told: dict[str, Any]) -> str:
    variables = {
        f"RECBENCH_{name.upper()}": "" if value is None else str(value)
        for name, value in told.items()
    }
    try:
        done = subprocess.run(
            command,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {COMMAND_LIMIT_S} s"
    except OSError as error:
        return f"cannot run {command[0]}: {error.strerror}"
    if done.returncode:
        last = done.stdout.decode(errors="replace").strip()[-LAST:]
        return f"exit code {done.returncode}: {last}"
    return "told"


def _post(url: str, told: dict[str, Any]) -> str:
    request = urllib.request.Request(
        url,
        data=json.dumps(told).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=POST_LIMIT_S):
            return "told"
    except (OSError, http.client.HTTPException) as error:
        return str(error)
