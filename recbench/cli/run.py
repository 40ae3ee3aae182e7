"""``recbench run``: a notebook as a job."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recbench.cli.output import json_option, save_json
from recbench.settings import notebooks_path, runs_path, workspace_path

if TYPE_CHECKING:
    from recbench.jobs.again import Source
    from recbench.jobs.run import RunResult

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
    help="Run an unfinished run's notebook again in its folder. Every cell runs; a step is "
    "skipped only where its function finds its own work done (lake, releases).",
)
@json_option
def run(
    notebook: str | None,
    *,
    assignments: tuple[str, ...],
    like: str | None,
    source: "Source | None",
    resume: str | None,
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
    progress = _Progress()
    try:
        if resume:
            result = _resumed(resume, progress)
        else:
            path, values = _repeated(like, source) if like else (_found(notebook), {})
            result = _new(path, values, assignments=assignments, progress=progress)
        save_json(json_path, _as_json(result))
    finally:
        progress.close()


def _as_json(result: "RunResult") -> dict[str, Any]:
    return {"run": str(result.folder), "status": result.status, "metrics": result.metrics}


def _require_one(notebook: str | None, like: str | None, resume: str | None) -> None:
    given = [value for value in (notebook, like, resume) if value]
    if len(given) != 1:
        raise click.UsageError(f"Give one of NOTEBOOK, --like, --resume; got {len(given)}")


def _resumed(name: str, progress: "_Progress") -> "RunResult":
    from recbench.jobs.run import resume_run
    from recbench.jobs.runs import find_run

    folder = find_run(name, runs_path())
    progress.on_folder(folder)
    return resume_run(folder, workspace=workspace_path(), on_cell=progress.on_cell)


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


def _new(
    path: Path, values: dict[str, Any], *, assignments: tuple[str, ...], progress: "_Progress"
) -> "RunResult":
    from recbench.jobs.parameters import parse_assignments
    from recbench.jobs.run import notebook_parameters, run_notebook

    declared = notebook_parameters(path)
    given = parse_assignments(declared, assignments, source=f"`{path.name}`")
    return run_notebook(
        path,
        values | given,
        runs=runs_path(),
        workspace=workspace_path(),
        on_folder=progress.on_folder,
        on_cell=progress.on_cell,
    )


class _Progress:
    """Cells done: one moving line in a terminal, one line a cell elsewhere; the folder last."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._bar: Any = None

    def on_folder(self, folder: Path) -> None:
        self.folder = folder
        click.echo(f"Running in {folder}; what it prints goes to log.txt there")

    def on_cell(self, cell: int, n_cells: int) -> None:
        if not sys.stdout.isatty():
            click.echo(f"cell {cell}/{n_cells}")
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=n_cells, unit="cell", mininterval=1, ascii=True, ncols=80, file=sys.stdout
            )
        self._bar.set_description(f"cell {cell}/{n_cells}")
        self._bar.update(cell - 1 - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self.folder is not None:
            click.echo(str(self.folder))
