"""``recbench schedule``: notebooks by the clock, without a Jupyter server."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.output import json_option, print_table, save_json
from recbench.cli.schedule_add import add
from recbench.cli.schedule_export import export
from recbench.cli.schedule_run import run
from recbench.settings import workspace_path

if TYPE_CHECKING:
    from recbench.jobs.schedules.state import Attempt, Occurrence
    from recbench.jobs.schedules.store import ScheduleStore

__all__ = ["schedule"]

NOTHING = "There are no schedules; `recbench schedule add NOTEBOOK --every 15m` makes one"


@click.group()
def schedule() -> None:
    """Notebooks by the clock. They are kept in the workspace; `schedule run` carries them out."""


for command in (add, run, export):
    schedule.add_command(command)


@schedule.command("list")
@json_option
def list_(*, json_path: Path | None) -> None:
    """Every schedule: when it runs next, and how it went last."""
    import polars as pl

    store = _store()
    rows = [_row(store, name) for name in store.names()]
    if rows:
        print_table(pl.DataFrame(rows, infer_schema_length=None))
        if not store.has_runner():
            click.echo("Nobody carries them out now; `recbench schedule run` does")
    else:
        click.echo(NOTHING)
    save_json(json_path, rows)


@schedule.command()
@click.argument("name")
@json_option
def show(name: str, *, json_path: Path | None) -> None:
    """What the schedule NAME says, and its past runs, newest last, with their folders."""
    import polars as pl

    store = _store()
    says = store.read(name).as_json()
    past = [line for occurrence in store.state(name).occurrences for line in _past(occurrence)]
    print_table(pl.DataFrame([{"says": key, "value": str(says[key])} for key in says]))
    click.echo()
    if past:
        print_table(pl.DataFrame(past, infer_schema_length=None))
    else:
        click.echo("It has not run yet")
    save_json(json_path, {"schedule": says, "past": past})


@schedule.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget the schedule NAME; the folders of its runs stay."""
    _store().remove(name)
    click.echo(f"Removed {name}")


@schedule.command()
@click.argument("name")
def pause(name: str) -> None:
    """Begin nothing of the schedule NAME until it is resumed; what runs goes on."""
    _store().pause(name)
    click.echo(f"Paused {name}")


@schedule.command()
@click.argument("name")
def resume(name: str) -> None:
    """Go on with the schedule NAME; the times that passed meanwhile are not made up for."""
    store = _store()
    store.resume(name, datetime.now(UTC))
    click.echo(f"Resumed {name}; next at {_row(store, name)['next']}")


def _store() -> "ScheduleStore":
    from recbench.jobs.schedules.store import ScheduleStore

    return ScheduleStore.of(workspace_path())


def _row(store: "ScheduleStore", name: str) -> dict[str, Any]:
    from recbench.jobs.schedules.plan import plan

    says, state, now = store.read(name), store.state(name), datetime.now(UTC)
    made = plan(says, state, now)
    begun = [each for each in state.occurrences if each.attempts]
    last = begun[-1] if begun else None
    status = (last.outcome or last.attempts[-1].status) if last else None
    return {
        "name": name,
        "notebook": Path(says.notebook).stem,
        "when": str(says.times),
        "next": "paused" if says.paused else "now" if made.starts else _time(made.next_at),
        "last": _time(last.due) if last else None,
        "status": status,
        "run": last.run if last else None,
    }


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
        error=attempt.error,
    )


def _line(occurrence: "Occurrence", **known: Any) -> dict[str, Any]:
    columns = ("attempt", "status", "began", "took_s", "folder", "error")
    line = {"due": _time(occurrence.due)} | {name: known.get(name) for name in columns}
    return line | {"notified": occurrence.notice or None}


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
