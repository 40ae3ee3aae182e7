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
    """Every schedule, those made in JupyterLab, too: when it runs next, and how it went last."""
    from recbench.jobs.schedules.listing import HERE, IN_LAB, every_schedule

    rows = every_schedule(workspace_path())
    made_in = {row["made_in"] for row in rows}
    if rows:
        _print(rows)
    if HERE in made_in and not _store().has_runner():
        click.echo(f"Nobody carries those of {HERE} out now; `recbench schedule run` does")
    if IN_LAB in made_in:
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

    from recbench.jobs.schedules.listing import one_schedule

    says, past = one_schedule(name, workspace_path())
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
    from recbench.jobs.schedules.listing import every_schedule

    _changeable(name).resume(name, datetime.now(UTC))
    row = next(row for row in every_schedule(workspace_path()) if row["name"] == name)
    click.echo(f"Resumed {name}; next at {row['next']}")


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
