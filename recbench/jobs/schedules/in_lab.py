"""Schedules that were made in JupyterLab's forms: what they say, and what became of them."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.errors import InputError
from recbench.jobs.schedules.times import Cron

__all__ = ["LabJob", "LabSchedule", "lab_schedules", "require_none_of_the_lab"]

DATABASE = "lab/jobs.sqlite"  # below the workspace, as `recbench lab` sets it up
KEPT = 200  # past jobs of a schedule
FOLDER_SAID = "Run "  # by our execution manager, before the folder of a run that succeeded


@dataclass(frozen=True, slots=True)
class LabJob:
    """One job that a schedule of JupyterLab's began."""

    began: datetime
    ended: datetime | None
    status: str  # as runs call it
    folder: str | None  # of the run, where the job has said it
    error: str | None


@dataclass(frozen=True, slots=True)
class LabSchedule:
    """One definition of JupyterLab's scheduler; it begins jobs while a lab's server runs."""

    id: str
    name: str
    notebook: str
    times: Cron
    parameters: Mapping[str, str]
    on: str | None
    active: bool
    jobs: tuple[LabJob, ...]  # oldest first


def lab_schedules(workspace: Path) -> list[LabSchedule]:
    """Those of the workspace's lab, by name; nothing is written.

    Raises:
        InputError: its database cannot be read.
    """
    path = workspace.absolute() / DATABASE
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(
                "SELECT * FROM job_definitions WHERE schedule IS NOT NULL ORDER BY name"
            ).fetchall()
            return [_schedule(row, _jobs(database, row["job_definition_id"])) for row in rows]
    except sqlite3.Error as error:
        raise InputError(f"`{path}`, where JupyterLab keeps its jobs, has: {error}") from error


def require_none_of_the_lab(name: str, workspace: Path) -> None:
    """Nothing, unless JupyterLab has a schedule of this name, which only it can change.

    Raises:
        InputError: it has.
    """
    if any(name in {each.name, each.id} for each in lab_schedules(workspace)):
        raise InputError(
            f"`{name}` was made in JupyterLab; change it there, under Notebook Job Definitions"
        )


def _schedule(row: sqlite3.Row, jobs: tuple[LabJob, ...]) -> LabSchedule:
    return LabSchedule(
        id=row["job_definition_id"],
        name=row["name"] or row["job_definition_id"],
        notebook=row["input_filename"],
        times=Cron(row["schedule"], row["timezone"] or "UTC"),
        parameters=json.loads(row["parameters"] or "{}") or {},
        on=row["compute_type"],
        active=bool(row["active"]),
        jobs=jobs,
    )


def _jobs(database: sqlite3.Connection, definition: str) -> tuple[LabJob, ...]:
    rows = database.execute(
        "SELECT * FROM jobs WHERE job_definition_id = ? ORDER BY create_time DESC LIMIT ?",
        (definition, KEPT),
    ).fetchall()
    return tuple(_job(row) for row in reversed(rows))


STATUSES = {
    "CREATED": "running",
    "QUEUED": "running",
    "IN_PROGRESS": "running",
    "COMPLETED": "succeeded",
    "FAILED": "failed",
    "STOPPING": "interrupted",
    "STOPPED": "interrupted",
}


def _job(row: sqlite3.Row) -> LabJob:
    said = row["status_message"] or ""
    folder = said.removeprefix(FOLDER_SAID) if said.startswith(FOLDER_SAID) else None
    return LabJob(
        began=_time(row["start_time"] or row["create_time"]),
        ended=_time(row["end_time"]) if row["end_time"] else None,
        status=STATUSES.get(row["status"], str(row["status"]).lower()),
        folder=folder,
        error=said if said and folder is None else None,
    )


def _time(milliseconds: Any) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
