"""``recbench schedule``: notebooks by the clock, without a Jupyter server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.output import json_option, print_table, save_json
from recbench.cli.schedule_add import add
from recbench.cli.schedule_export import export
from recbench.cli.schedule_run import run
from recbench.errors import InputError
from recbench.settings import workspace_path

if TYPE_CHECKING:
    from recbench.jobs.schedules.in_lab import LabJob, LabSchedule
    from recbench.jobs.schedules.schedule import Schedule
    from recbench.jobs.schedules.state import Attempt, Occurrence, State
    from recbench.jobs.schedules.store import ScheduleStore

__all__ = ["schedule"]

NOTHING = "There are no schedules; `recbench schedule add NOTEBOOK --every 15m` makes one"
HERE, IN_LAB = "recbench schedule", "JupyterLab"  # where a schedule was made


@click.group()
def schedule() -> None:
    """Notebooks by the clock. They are kept in the workspace; `schedule run` carries them out."""


for command in (add, run, export):
    schedule.add_command(command)


@schedule.command("list")
@json_option
def list_(*, json_path: Path | None) -> None:
    """Every schedule, those made in JupyterLab, too: when it runs next, and how it went last."""
    from recbench.jobs.schedules.in_lab import lab_schedules

    store = _store()
    ours = [_row(store, name) for name in store.names()]
    rows = ours + [_lab_row(each) for each in lab_schedules(workspace_path())]
    if rows:
        _print(rows)
    if ours and not store.has_runner():
        click.echo(f"Nobody carries those of {HERE} out now; `recbench schedule run` does")
    if len(rows) > len(ours):
        click.echo(f"Those of {IN_LAB} run while `recbench lab` does")
    if not rows:
        click.echo(NOTHING)
    save_json(json_path, rows)


@schedule.command()
@click.argument("name")
@json_option
def show(name: str, *, json_path: Path | None) -> None:
    """What the schedule NAME says, and its past runs, newest last, with their folders."""
    import polars as pl

    store = _store()
    lab = None if name in store.names() else _in_lab(name)
    says = {"made_in": HERE} | store.read(name).as_json() if lab is None else _lab_says(lab)
    past = (
        [line for occurrence in store.state(name).occurrences for line in _past(occurrence)]
        if lab is None
        else [_lab_past(job) for job in lab.jobs]
    )
    print_table(pl.DataFrame([{"says": key, "value": str(says[key])} for key in says]))
    click.echo()
    if past:
        _print(past)
    else:
        click.echo("It has not run yet")
    save_json(json_path, {"schedule": says, "past": past})


@schedule.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget the schedule NAME; the folders of its runs stay."""
    _changeable(name).remove(name)
    click.echo(f"Removed {name}")


@schedule.command()
@click.argument("name")
def pause(name: str) -> None:
    """Begin nothing of the schedule NAME until it is resumed; what runs goes on."""
    _changeable(name).pause(name)
    click.echo(f"Paused {name}")


@schedule.command()
@click.argument("name")
def resume(name: str) -> None:
    """Go on with the schedule NAME; the times that passed meanwhile are not made up for."""
    store = _changeable(name)
    store.resume(name, datetime.now(UTC))
    click.echo(f"Resumed {name}; next at {_row(store, name)['next']}")


def _print(rows: list[dict[str, Any]]) -> None:
    """The reasons where there are any: few schedules may wait."""
    import polars as pl

    frame = pl.DataFrame(rows, infer_schema_length=None)
    print_table(frame if any(row["why"] for row in rows) else frame.drop("why"))


def _store() -> "ScheduleStore":
    from recbench.jobs.schedules.store import ScheduleStore

    return ScheduleStore.of(workspace_path())


def _changeable(name: str) -> "ScheduleStore":
    from recbench.jobs.schedules.in_lab import require_none_of_the_lab

    store = _store()
    if name not in store.names():
        require_none_of_the_lab(name, workspace_path())
    return store


def _in_lab(name: str) -> "LabSchedule | None":
    """The one of JupyterLab that has this name or id; None: none has."""
    from recbench.jobs.schedules.in_lab import lab_schedules

    found = [each for each in lab_schedules(workspace_path()) if name in {each.name, each.id}]
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise InputError(f"JupyterLab has {len(found)} schedules `{name}`; name one by id: {ids}")
    return found[0] if found else None


def _lab_row(lab: "LabSchedule") -> dict[str, Any]:
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


def _lab_says(lab: "LabSchedule") -> dict[str, Any]:
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


def _lab_past(job: "LabJob") -> dict[str, Any]:
    took = job.ended and round((job.ended - job.began).total_seconds(), 1)
    return {
        "status": job.status,
        "began": _time(job.began),
        "took_s": took,
        "folder": job.folder,
        "error": job.error,
        "why": None,
    }


def _row(store: "ScheduleStore", name: str) -> dict[str, Any]:
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


def _begins(says: "Schedule", state: "State") -> tuple[str, str | None]:
    """When the schedule begins next, and why not at its time, if it waits."""
    from recbench.jobs.schedules.foresight import Foresight
    from recbench.jobs.schedules.plan import plan

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


def _past(occurrence: "Occurrence") -> list[dict[str, Any]]:
    if occurrence.attempts:
        return [_tried(occurrence, attempt) for attempt in occurrence.attempts]
    times = f", {occurrence.count} times" if occurrence.count > 1 else ""
    return [_line(occurrence, status=f"skipped{times}", error=occurrence.reason)]


def _tried(occurrence: "Occurrence", attempt: "Attempt") -> dict[str, Any]:
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


def _line(occurrence: "Occurrence", **known: Any) -> dict[str, Any]:
    columns = ("attempt", "status", "began", "why", "took_s", "folder", "error")
    line = {"due": _time(occurrence.due)} | {name: known.get(name) for name in columns}
    return line | {"notified": occurrence.notice or None}


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
