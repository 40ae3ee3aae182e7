"""``recbench runs``: what ran, with which parameters, how it went."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from recbench.cli.input import Duration
from recbench.cli.output import json_option, print_table, save_json
from recbench.settings import registry_path, runs_path

if TYPE_CHECKING:
    from recbench.jobs.comparison import Compared
    from recbench.jobs.retention import Pruning
    from recbench.jobs.runs import Run

__all__ = ["runs"]

SECTIONS = {
    "parameter": "parameters",
    "data": "data",
    "surroundings": "surroundings",
    "metric": "metrics",
    "link": "links",
}


@click.group(invoke_without_command=True)
@click.pass_context
def runs(context: click.Context) -> None:
    """List, show, compare, prune and sync runs (RECBENCH_RUNS, default ./papermill_runs).

    In Python `recbench.runs()` gives all of them as a Polars frame.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_)


@runs.command("list")
@click.option("--notebook", metavar="NAME", help="Runs of this notebook only.")
@click.option("--status", metavar="STATUS", help="Runs in this state only, such as failed.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="The newest N only.")
@json_option
def list_(
    *,
    notebook: str | None = None,
    status: str | None = None,
    last: int | None = None,
    json_path: Path | None = None,
) -> None:
    """Every run, oldest first."""
    from recbench.jobs.runs import list_runs

    found = [
        run
        for run in list_runs(runs_path())
        if notebook in {None, run.notebook} and status in {None, run.status}
    ]
    rows = [_row(run) for run in found[-(last or len(found)) :]]
    if rows:
        print_table(pl.DataFrame(rows, infer_schema_length=None))
    else:
        click.echo(f"No runs below {runs_path()}" + " like that" * bool(notebook or status))
    for run in found:
        if run.damage:
            click.echo(f"Damaged: {run.damage}", err=True)
    save_json(json_path, rows)


@runs.command()
@click.argument("run")
@json_option
def show(run: str, *, json_path: Path | None) -> None:
    """One run: its facts, parameters, metrics and tables.

    RUN is a folder, its name, or the id at the name's end.
    """
    found = _read(run)
    sections = {"run": _facts(found), "parameter": _parameters(found), "metric": found.metrics}
    rows = [
        {"kind": kind, "name": name, "value": _shown(value)}
        for kind, section in sections.items()
        for name, value in section.items()
    ]
    print_table(pl.DataFrame(rows))
    for table in sorted((found.folder / "tables").glob("*.parquet")):
        click.echo(f"\n{table.stem}")
        print_table(pl.read_parquet(table))
    if found.manifest and found.manifest.error:
        click.echo(f"\n{found.manifest.error}")
    shown = {"parameters": _parameters(found), "metrics": found.metrics}
    save_json(json_path, _facts(found) | shown)


@runs.command()
@click.argument("names", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Also what is equal in all of them.")
@json_option
def compare(names: tuple[str, ...], *, everything: bool, json_path: Path | None) -> None:
    """Runs side by side: their metrics, and the parameters and surroundings in which they differ.

    Metrics that were recorded with bounds are shown with them.
    """
    from recbench.jobs.comparison import compare_runs, comparison_frame

    found = [_read(name) for name in names]
    compared = compare_runs(found, everything=everything)
    frame = comparison_frame(found, everything=everything)
    for kind, title in SECTIONS.items():
        differing = sum(each.differs for each in compared if each.kind == kind)
        rows = frame.filter(kind=kind).drop("kind")
        click.echo(f"\n{title}" + f": {differing} differ" * (kind != "link"))
        if len(rows):
            print_table(rows.fill_null(""))
    save_json(json_path, _by_section(compared))


@runs.command()
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Newest runs that stay.")
@click.option("--older-than", type=Duration(), help="Age from which runs may go, such as 30d.")
@click.option("--notebook", metavar="NAME", help="Consider this notebook's runs only.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@json_option
def prune(
    *,
    keep: int | None,
    older_than: timedelta | None,
    notebook: str | None,
    dry_run: bool,
    json_path: Path | None,
) -> None:
    """Remove old runs: those beyond the newest N of each notebook, older than an age, or both.

    Never removed: a run that is running (a lab session counts as running until its folder has been
    left alone for a day), one that made a release which still exists, the parent of one that stays.
    """
    from recbench.jobs.retention import plan_pruning, remove_runs
    from recbench.jobs.seal import makers
    from recbench.refresh import Registry

    plan = plan_pruning(
        runs_path(),
        keep=keep,
        older_than=older_than,
        notebook=notebook,
        kept_releases=makers(Registry(registry_path())),
        now=datetime.now(UTC),
    )
    gone = list(plan.gone) if dry_run else remove_runs(plan, runs=runs_path())
    _print_pruning(plan, gone, dry_run=dry_run)
    told = [{"run": folder.name, "bytes": plan.gone[folder]} for folder in gone]
    spared = {folder.name: reason for folder, reason in plan.spared.items()}
    save_json(json_path, {"removed": told, "spared": spared, "dry_run": dry_run})


@runs.command()
@click.argument("names", metavar="[RUN...]", nargs=-1)
def sync(names: tuple[str, ...]) -> None:
    """Send runs that were recorded offline to W&B; default: all that were not sent yet.

    Needs a key: WANDB_API_KEY, or what `wandb login` writes. A run that was sent is not sent again,
    one that is still running is passed over, and what fails stays as it is for the next time.
    """
    from recbench.errors import JobError
    from recbench.jobs.runs import list_runs
    from recbench.tracking.sync import offline_runs, require_key, send

    found = [_read(name) for name in names] if names else list_runs(runs_path())
    running = [run for run in found if run.status == "running"]
    for run in running:
        click.echo(f"{run.folder.name} is still running")
    waiting = [
        (run, part) for run in found if run not in running for part in offline_runs(run.folder)
    ]
    if not waiting:
        click.echo("Nothing to send")
        return
    require_key()
    failed = 0
    for run, part in waiting:
        reason = send(part)
        failed += reason is not None
        click.echo(f"{run.folder.name}: {'sent' if reason is None else f'not sent: {reason}'}")
    if failed:
        raise JobError(f"{failed} of {len(waiting)} were not sent; they are kept as they are")


def _read(name: str) -> "Run":
    from recbench.jobs.runs import Run, find_run

    return Run.read(find_run(name, runs_path()))


def _row(run: "Run") -> dict[str, Any]:
    manifest = run.manifest
    memory = manifest.peak_memory_bytes if manifest else None
    return {
        "run": run.folder.name,
        "status": run.status,
        "started_at": run.started_at and f"{run.started_at:%Y-%m-%dT%H:%M:%S}",
        "duration_s": manifest.duration_s if manifest else None,
        "peak_memory_mib": None if memory is None else round(memory / 2**20),
        "data": ", ".join(f"{key} {value}" for key, value in run.data.items()),
        "release": ", ".join(run.releases),
    }


def _facts(run: "Run") -> dict[str, Any]:
    manifest = run.manifest
    if manifest is None:
        return _row(run)
    facts = {"commit": manifest.code.get("commit"), "group": manifest.group or run.folder.name}
    parent = {"parent": manifest.parent} if manifest.parent else {}
    return _row(run) | facts | parent


def _parameters(run: "Run") -> dict[str, Any]:
    return run.manifest.parameters if run.manifest else {}


def _by_section(compared: "list[Compared]") -> dict[str, dict[str, list[Any]]]:
    sections: dict[str, dict[str, list[Any]]] = {title: {} for title in SECTIONS.values()}
    for each in compared:
        sections[SECTIONS[each.kind]][each.name] = list(each.values)
    return sections


def _print_pruning(plan: "Pruning", gone: list[Path], *, dry_run: bool) -> None:
    for folder, reason in plan.spared.items():
        click.echo(f"{folder.name} stays: {reason}")
    verb = "would go" if dry_run else "is removed"
    for folder in gone:
        click.echo(f"{folder.name} {verb}: {_size(plan.gone[folder])}")
    total = sum(plan.gone[folder] for folder in gone)
    what = "would be removed" if dry_run else "removed"
    click.echo(f"{len(gone)} runs {what}, {_size(total)}" if gone else "Nothing to remove")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB ({n_bytes:,} bytes)"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
