"""`recbench schedule add`: a notebook, its parameters, and when."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.input import Duration
from recbench.cli.within import checked_wait, within_options
from recbench.settings import notebooks_path, runs_path, workspace_path

if TYPE_CHECKING:
    from recbench.jobs.schedules.times import Times

__all__ = ["add"]


@click.command()
@click.argument("notebook")
@click.option("--every", type=Duration(), help="A distance, such as 15m: at :00, :15, :30, :45.")
@click.option("--cron", metavar="FIELDS", help="Five fields, such as '30 2 * * *'.")
@click.option("--timezone", default="UTC", show_default=True, help="That --cron is meant in.")
@click.option("-p", "assignments", metavar="NAME=VALUE", multiple=True, help="Set one parameter.")
@click.option("--name", help="Of the schedule; else the notebook's.")
@click.option(
    "--missed",
    type=click.Choice(["skip", "once", "all"]),
    default="once",
    show_default=True,
    help="Times that could not start within a minute: leave them out, make up for all of them "
    "with one run, or for each.",
)
@click.option(
    "--overlap",
    type=click.Choice(["no", "yes"]),
    default="no",
    show_default=True,
    help="Whether a run may begin while the one before still runs.",
)
@within_options
@click.option("--timeout", type=Duration(), help="After which an attempt is ended.")
@click.option("--retries", default=0, show_default=True, help="Further attempts after a failure.")
@click.option(
    "--backoff",
    type=Duration(),
    default="1m",
    show_default=True,
    help="Before the first retry; doubled before each further one.",
)
@click.option(
    "--retry",
    type=click.Choice(["resume", "anew"]),
    default="resume",
    show_default=True,
    help="A retry goes on in the failed run's folder, where finished stages are not done again, or "
    "begins in a new one.",
)
@click.option(
    "--notify-command",
    metavar="COMMAND",
    help="Run when a run has ended, without a shell, with RECBENCH_STATUS, RECBENCH_RUN, "
    "RECBENCH_FOLDER, RECBENCH_ERROR and more in its environment.",
)
@click.option("--notify-url", metavar="URL", help="Gets a POST of JSON when a run has ended.")
@click.option("--on", metavar="CLUSTER", help="That carries it out, as in `recbench run`.")
@click.option("--idle", is_flag=True, help="As in `recbench run`: beside a service, for example.")
def add(notebook: str, *, assignments: tuple[str, ...], **options: Any) -> None:
    """Run NOTEBOOK (a file, or a name in the notebooks' folder) by the clock.

    Parameters are checked now. Relative paths are meant from here, and runs go where they go from
    here. With --within a run waits after its time for the cheapest hours in which it can be done.
    `recbench schedule run` carries it out.
    """
    from recbench.jobs.parameters import parse_assignments
    from recbench.jobs.run import notebook_parameters
    from recbench.jobs.runs import find_notebook
    from recbench.jobs.schedules.schedule import Schedule
    from recbench.jobs.schedules.store import ScheduleStore

    path = find_notebook(notebook, notebooks_path())
    values = parse_assignments(notebook_parameters(path), assignments, source=f"`{path.name}`")
    times = _times(options.pop("every"), options.pop("cron"), options.pop("timezone"))
    wait = checked_wait(path.stem, *(options.pop(each) for each in ("within", "takes", "tariff")))
    made = Schedule(
        name=options.pop("name") or path.stem,
        notebook=str(path.absolute()),
        parameters=values,
        times=times,
        within_s=wait and wait.within_s,
        takes_s=wait and wait.takes_s,
        tariff=str(wait.tariff) if wait else "",
        overlap=options.pop("overlap") == "yes",
        timeout_s=_seconds(options.pop("timeout")),
        backoff_s=options.pop("backoff").total_seconds(),
        notify_command=tuple(shlex.split(options.pop("notify_command") or "")),
        notify_url=options.pop("notify_url") or "",
        directory=str(Path.cwd()),
        runs=str(runs_path().absolute()),
        created_at=datetime.now(UTC),
        **options,
    )
    ScheduleStore.of(workspace_path()).add(made)
    first = times.after(made.created_at)
    click.echo(f"{made.name}: {times}, first at {first:%Y-%m-%d %H:%M:%SZ}")
    click.echo("It runs while `recbench schedule run` does")


def _times(every: timedelta | None, cron: str | None, zone: str) -> "Times":
    from recbench.jobs.schedules.times import Cron, Every

    if (every is None) == (cron is None):
        raise click.UsageError("Give one of --every and --cron")
    if every is None:
        return Cron(str(cron), zone)
    if zone != "UTC":
        raise click.UsageError("--timezone belongs to --cron; --every goes by UTC")
    return Every(every.total_seconds())


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()
