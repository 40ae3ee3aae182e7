"""``recbench runs``: what ran, with which parameters, how it went."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from recbench.cli.output import json_option, print_table, save_json
from recbench.settings import runs_path

if TYPE_CHECKING:
    from recbench.jobs.runs import Run

__all__ = ["runs"]


@click.group()
def runs() -> None:
    """List, show and compare runs (RECBENCH_RUNS, default ./papermill_runs)."""


@runs.command("list")
@json_option
def list_(*, json_path: Path | None) -> None:
    """Every run, oldest first."""
    from recbench.jobs.runs import list_runs

    rows = [_row(run) for run in list_runs(runs_path())]
    if rows:
        print_table(pl.DataFrame(rows, infer_schema_length=None))
    else:
        click.echo(f"No runs below {runs_path()}")
    save_json(json_path, rows)


@runs.command()
@click.argument("run")
@json_option
def show(run: str, *, json_path: Path | None) -> None:
    """One run: its facts, parameters, metrics and tables.

    RUN is a folder, its name, or the id at the name's end.
    """
    found = _read(run)
    sections = {"run": _row(found), "parameter": _parameters(found), "metric": found.metrics}
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
    save_json(json_path, _row(found) | {"parameters": _parameters(found), "metrics": found.metrics})


@runs.command()
@click.argument("first")
@click.argument("second")
@json_option
def compare(first: str, second: str, *, json_path: Path | None) -> None:
    """Two runs: the parameters, surroundings and metrics in which they differ."""
    left, right = _read(first), _read(second)
    sections = {
        "parameters": _differences(_parameters(left), _parameters(right)),
        "surroundings": _surroundings(left, right),
        "metrics": _differences(left.metrics, right.metrics),
    }
    for title, rows in sections.items():
        click.echo(f"\n{title}: {len(rows)} differ")
        if rows:
            names = ("name", left.folder.name, right.folder.name)
            columns = zip(names, zip(*rows, strict=True), strict=True)
            print_table(
                pl.DataFrame({name: [_shown(v) for v in column] for name, column in columns})
            )
    save_json(
        json_path,
        {title: {name: [a, b] for name, a, b in rows} for title, rows in sections.items()},
    )


def _read(name: str) -> "Run":
    from recbench.jobs.runs import Run, find_run

    return Run.read(find_run(name, runs_path()))


def _row(run: "Run") -> dict[str, Any]:
    manifest = run.manifest
    memory = manifest.peak_memory_bytes if manifest else None
    return {
        "run": run.folder.name,
        "status": run.status,
        "started_at": manifest.started_at[:19] if manifest else None,
        "duration_s": manifest.duration_s if manifest else None,
        "peak_memory_mib": None if memory is None else round(memory / 2**20),
        "data": ", ".join(f"{key} {value}" for key, value in manifest.data.items())
        if manifest
        else "",
    }


def _parameters(run: "Run") -> dict[str, Any]:
    return run.manifest.parameters if run.manifest else {}


def _surroundings(left: "Run", right: "Run") -> list[tuple[str, Any, Any]]:
    from recbench.jobs.runs import environment_differences

    if left.manifest is None or right.manifest is None:
        return []
    return environment_differences(left.manifest, right.manifest)


def _differences(left: dict[str, Any], right: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    names = dict.fromkeys([*left, *right])
    return [(n, left.get(n), right.get(n)) for n in names if left.get(n) != right.get(n)]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
