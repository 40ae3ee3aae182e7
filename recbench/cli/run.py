"""``recbench run``: a notebook as a job."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.output import json_option, save_json
from recbench.cli.progress import Progress
from recbench.cli.within import checked_wait, within_options
from recbench.settings import notebooks_path, runs_path, workspace_path

if TYPE_CHECKING:
    from recbench.jobs.again import Source
    from recbench.jobs.run import RunResult, Way

__all__ = ["run"]


@click.command()
@click.argument("notebook", required=False)
@click.option("-p", "assignments", metavar="NAME=VALUE", multiple=True, help="Set one parameter.")
@click.option(
    "--like",
    metavar="RUN",
    help="Make this run again: its notebook and parameters; -p goes on top. What differs now is "
    "told before it runs.",
)
@click.option(
    "--source",
    type=click.Choice(["kept", "current"]),
    help="With --like: the cells as they ran then, or the notebook's file as it is now. Default: "
    "the file where it has not changed since, else the kept cells.",
)
@click.option(
    "--resume",
    metavar="RUN",
    help="Run an unfinished run's notebook again in its folder. Every cell runs, but a stage that "
    "was finished gives its result at once.",
)
@click.option(
    "--on",
    "where",
    metavar="CLUSTER",
    help="Have a worker of this cluster carry it out: local, cuda, kubernetes or a scheduler's "
    "address. The notebook finds it through recbench.cluster.current.current_client.",
)
@click.option(
    "--idle",
    is_flag=True,
    help="Take only what time nobody else on this machine wants; not with --on.",
)
@within_options
@json_option
def run(
    notebook: str | None,
    *,
    assignments: tuple[str, ...],
    like: str | None,
    source: "Source | None",
    resume: str | None,
    where: str | None,
    idle: bool,
    within: timedelta | None,
    takes: timedelta | None,
    tariff: Path | None,
    json_path: Path | None,
) -> None:
    """Run NOTEBOOK (a file, or a name in the notebooks' folder) as a job.

    Unknown parameters and values of the wrong kind are refused before anything runs. The run's
    folder is the last line printed. Exit code: 0 succeeded, 1 failed or killed, 2 refused,
    130 Ctrl-C.
    """
    _require_one(notebook, like, resume)
    if resume and assignments:
        raise click.UsageError("--resume keeps the run's parameters; use --like to change some")
    if source and not like:
        raise click.UsageError("--source belongs to --like")
    if idle and where:
        raise click.UsageError("--idle is about this machine: leave it away, or --on")
    if within is not None or takes is not None or tariff is not None:
        _wait(notebook, within, takes, tariff)
    from recbench.jobs.way import way_to
    from recbench.priority import lower_process

    if idle:
        lower_process()
    progress = Progress(shows_output=where is not None)
    try:
        with way_to(where) as way:
            if resume:
                result = _resumed(resume, progress, way)
            else:
                path, values = _repeated(like, source) if like else (_found(notebook), {})
                values |= _assigned(path, assignments)
                result = _new(path, values, progress=progress, way=way)
        save_json(json_path, _as_json(result))
    finally:
        progress.close()


def _wait(
    notebook: str | None, within: timedelta | None, takes: timedelta | None, tariff: Path | None
) -> None:
    if notebook is None:
        raise click.UsageError("--within, --tariff and --takes go with a NOTEBOOK")
    name = _found(notebook).stem
    may_wait = checked_wait(name, within, takes, tariff)
    assert may_wait is not None  # one of the three is given
    from recbench.cluster.tariff import TariffFile
    from recbench.jobs.cheap_hours import Beginning, wait_for_cheap_hours

    def say(begins: Beginning) -> None:
        at = datetime.now(UTC) + timedelta(seconds=begins.wait_s)
        click.echo(f"Begins about {at:%Y-%m-%d %H:%MZ}: {begins.why}", err=True)

    wait_for_cheap_hours(
        TariffFile(may_wait.tariff),
        within_s=may_wait.within_s,
        takes_s=may_wait.measured_s(name),
        say=say,
    )


def _as_json(result: "RunResult") -> dict[str, Any]:
    return {"run": str(result.folder), "status": result.status, "metrics": result.metrics}


def _require_one(notebook: str | None, like: str | None, resume: str | None) -> None:
    given = [value for value in (notebook, like, resume) if value]
    if len(given) != 1:
        raise click.UsageError(f"Give one of NOTEBOOK, --like, --resume; got {len(given)}")


def _resumed(name: str, progress: Progress, way: "Way | None") -> "RunResult":
    from recbench.jobs.run import resume_run
    from recbench.jobs.runs import find_run

    folder = find_run(name, runs_path())
    progress.on_folder(folder)
    return resume_run(folder, workspace=workspace_path(), listener=progress, way=way)


def _found(notebook: str | None) -> Path:
    from recbench.jobs.runs import find_notebook

    return find_notebook(str(notebook), notebooks_path())


def _repeated(like: str, source: "Source | None") -> tuple[Path, dict[str, Any]]:
    """The earlier run's notebook and parameters; says what differs now."""
    from recbench.jobs.again import plan_again
    from recbench.jobs.runs import find_run

    folder = find_run(like, runs_path())
    again = plan_again(folder, source=source, workspace=workspace_path())
    click.echo(f"Notebook: {again.origin}")
    for what, before, now in again.differences:
        click.echo(f"Differs from {folder.name}: {what} was {before}, is {now}")
    return again.notebook, again.parameters


def _assigned(path: Path, assignments: tuple[str, ...]) -> dict[str, Any]:
    """What ``-p`` says, in the kinds that the notebook declares."""
    from recbench.jobs.parameters import parse_assignments
    from recbench.jobs.run import notebook_parameters

    return parse_assignments(notebook_parameters(path), assignments, source=f"`{path.name}`")


def _new(
    path: Path, values: dict[str, Any], *, progress: Progress, way: "Way | None"
) -> "RunResult":
    from recbench.jobs.run import run_notebook

    return run_notebook(
        path,
        values,
        runs=runs_path(),
        workspace=workspace_path(),
        listener=progress,
        way=way,
    )
