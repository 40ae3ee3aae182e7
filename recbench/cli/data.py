"""`recbench data`: the catalogue, and what a log looks like."""

from pathlib import Path

import click

from recbench.cli.output import json_option, print_table, save_json

__all__ = ["data"]


@click.group()
def data() -> None:
    """What data sets there are; get one; describe one."""


@data.command("list")
@json_option
def list_data(json_path: Path | None) -> None:
    """The data sets known by name, with size, protocol and licence."""
    import polars as pl

    from recbench.datasets import CATALOGUE

    rows = [
        {
            "name": name,
            "what": known.title,
            "size": known.size,
            "protocol": known.protocol,
            "licence": known.licence,
            "homepage": known.homepage,
            "origins": dict(known.origins),
        }
        for name, known in CATALOGUE.items()
    ]
    print_table(pl.DataFrame(rows).drop("homepage", "origins"))
    save_json(json_path, rows)


@data.command()
@click.argument("name")
@json_option
def get(name: str, json_path: Path | None) -> None:
    """Fetch the data set NAME, check it, and put it into the lake."""
    from recbench.datasets import load
    from recbench.settings import workspace_path

    log = load(name, workspace=workspace_path())
    click.echo(f"{log.name}: {len(log.events)} events, lake version {log.version}")
    facts = {
        "name": log.name,
        "n_events": len(log.events),
        "lake_version": log.version,
        "rejected_rows": log.rejected,
    }
    save_json(json_path, facts)


@data.command()
@click.option(
    "--data", "name", required=True, help="A catalogue name, Parquet file or Delta table."
)
@click.option("--items", type=click.Path(path_type=Path), help="Item features, if not beside it.")
@json_option
def describe(name: str, items: Path | None, json_path: Path | None) -> None:
    """How many events, users and items, over which time, and what was set aside."""
    import polars as pl

    from recbench.datasets import load
    from recbench.settings import workspace_path
    from recbench.tables.describe import describe as facts_of

    facts = facts_of(load(name, workspace=workspace_path(), items=items))
    shown = {key: str(value) for key, value in facts.items()}
    print_table(pl.DataFrame({"fact": list(shown), "value": list(shown.values())}))
    save_json(json_path, facts)
