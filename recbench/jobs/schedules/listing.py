"""Schedules as people read them, those made in JupyterLab, too: next times, and past runs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.errors import InputError
from recbench.jobs.schedules.foresight import Foresight
from recbench.jobs.schedules.in_lab import LabJob, LabSchedule, lab_schedules
from recbench.jobs.schedules.plan import plan
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.state import Attempt, Occurrence, State
from recbench.jobs.schedules.store import ScheduleStore

__all__ = ["HERE", "IN_LAB", "every_schedule", "one_schedule"]

HERE, IN_LAB = "recbench schedule", "JupyterLab"  # where a schedule was made
Row = dict[str, Any]


def every_schedule(workspace: Path) -> list[Row]:
    """A row a schedule: when it runs next, and how it went last; JupyterLab's come last.

    ``name, made_in, notebook, when, next`` (a time, ``now`` or ``paused``), ``why`` it does not
    begin at its time (None if it does), ``last`` (the last time that was begun), its ``status`` and
    the folder of its ``run``.

    Raises:
        InputError: JupyterLab's database cannot be read.
    """
    store = ScheduleStore.of(workspace)
    ours = [_row(store, name) for name in store.names()]
    return ours + [_lab_row(each) for each in lab_schedules(workspace)]


def one_schedule(name: str, workspace: Path) -> tuple[Row, list[Row]]:
    """What the schedule says, by field, and a row a past attempt, oldest first.

    Args:
        name: of a schedule; of one of JupyterLab's its id is a name, too.
        workspace: the folder of both kinds.

    Raises:
        InputError: there is none, or JupyterLab has several of this name.
    """
    store = ScheduleStore.of(workspace)
    lab = None if name in store.names() else _in_lab(name, workspace)
    if lab is not None:
        return _lab_says(lab), [_lab_past(job) for job in lab.jobs]
    says = {"made_in": HERE} | store.read(name).as_json()
    return says, [line for each in store.state(name).occurrences for line in _past(each)]


def _row(store: ScheduleStore, name: str) -> Row:
    says, state = store.read(name), store.state(name)
    begins, why = _begins(says, state)
    begun = [each for each in state.occurrences if each.attempts]
    last = begun[-1] if begun else None
    status = (last.outcome or last.attempts[-1].status) if last else None
    return {
        "name": name,
        "made_in": HERE,
        "notebook": Path(says.notebook).stem,
        "when": str(says.times),
        "next": begins,
        "why": why,
        "last": _time(last.due) if last else None,
        "status": status,
        "run": last.run if last else None,
    }


def _begins(says: Schedule, state: State) -> tuple[str, str | None]:
    """When the schedule begins next, and why not at its time, if it waits."""
    if says.paused:
        return "paused", None
    now, foresight = datetime.now(UTC), Foresight()
    made = plan(says, state, now, begins=lambda due: foresight(says, due, now).at)
    if made.starts:
        return "now", None
    waits = made.waits or (made.next_at if says.times.after(now) == made.next_at else None)
    expected = waits and foresight(says, waits, now)
    if not waits or not expected or not expected.why:
        return _time(made.next_at), None
    return _time(expected.at), f"due {_time(waits)}; {expected.why}"


def _past(occurrence: Occurrence) -> Iterator[Row]:
    if not occurrence.attempts:
        times = f", {occurrence.count} times" if occurrence.count > 1 else ""
        yield _line(occurrence, status=f"skipped{times}", error=occurrence.reason)
    for attempt in occurrence.attempts:
        yield _tried(occurrence, attempt)


def _tried(occurrence: Occurrence, attempt: Attempt) -> Row:
    took = attempt.ended_at and (attempt.ended_at - attempt.started_at).total_seconds()
    return _line(
        occurrence,
        attempt=attempt.number,
        status=attempt.status,
        began=_time(attempt.started_at),
        took_s=took and round(took, 1),
        folder=attempt.run,
        why=attempt.why,
        error=attempt.error,
    )


def _line(occurrence: Occurrence, **known: Any) -> Row:
    columns = ("attempt", "status", "began", "why", "took_s", "folder", "error")
    line = {"due": _time(occurrence.due)} | {name: known.get(name) for name in columns}
    return line | {"notified": occurrence.notice or None}


def _in_lab(name: str, workspace: Path) -> LabSchedule | None:
    """The one of JupyterLab that has this name or id; None: none has."""
    found = [each for each in lab_schedules(workspace) if name in {each.name, each.id}]
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise InputError(f"JupyterLab has {len(found)} schedules `{name}`; name one by id: {ids}")
    return found[0] if found else None


def _lab_row(lab: LabSchedule) -> Row:
    last = lab.jobs[-1] if lab.jobs else None
    return {
        "name": lab.name,
        "made_in": IN_LAB,
        "notebook": Path(lab.notebook).stem,
        "when": str(lab.times),
        "next": _time(lab.times.after(datetime.now(UTC))) if lab.active else "paused",
        "why": None,
        "last": last and _time(last.began),
        "status": last and last.status,
        "run": last and last.folder,
    }


def _lab_says(lab: LabSchedule) -> Row:
    return {
        "made_in": IN_LAB,
        "id": lab.id,
        "name": lab.name,
        "notebook": lab.notebook,
        "times": lab.times.as_json(),
        "parameters": dict(lab.parameters),
        "on": lab.on,
        "paused": not lab.active,
    }


def _lab_past(job: LabJob) -> Row:
    took = job.ended and round((job.ended - job.began).total_seconds(), 1)
    return {
        "status": job.status,
        "began": _time(job.began),
        "took_s": took,
        "folder": job.folder,
        "error": job.error,
        "why": None,
    }


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
