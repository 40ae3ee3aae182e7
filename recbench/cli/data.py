"""`recbench data`: the catalogue, and what a log looks like."""

from datetime import UTC, datetime
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


@data.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--user", "user_id", metavar="COLUMN", help="Who: numbers or texts.")
@click.option("--item", "item_id", metavar="COLUMN", help="What: numbers or texts.")
@click.option("--ts", metavar="COLUMN", help="When: datetimes, texts or numbers.")
@click.option(
    "--ts-as",
    metavar="FORM",
    help="How times are written: s, ms, us or ns since the epoch, or a format such as "
    "'%d.%m.%Y %H:%M'. Default: as the first rows look.",
)
@click.option(
    "--column",
    "others",
    metavar="NAME=COLUMN",
    multiple=True,
    help="Any other: clicked, watch_ms, category, title, request_id, position, propensity.",
)
@json_option
def columns(
    path: Path,
    *,
    ts_as: str | None,
    others: tuple[str, ...],
    json_path: Path | None,
    **required: str | None,
) -> None:
    """Say which column of the Parquet file PATH is which; what is left out is guessed.

    Written beside it as X.columns.json, where every command and notebook finds it. The file itself
    stays as it is.
    """
    from recbench.cli.input import read_parquet
    from recbench.datasets import ColumnNames
    from recbench.widgets.column_names import events_as_named, first_events, names_table

    raw = read_parquet(path)
    given = {name: column for name, column in required.items() if column}
    given |= dict(_named(other) for other in others)
    names = ColumnNames.guessed(raw, given=given, ts_as=ts_as)
    checked = events_as_named(raw, names, source=str(path), now=datetime.now(UTC))
    kept = names.write(path)
    print_table(names_table(raw, names))
    print_table(first_events(checked))
    click.echo(f"{len(checked.accepted)} of {len(raw)} rows can be used. Kept in {kept}")
    save_json(json_path, {**names.columns, "ts_as": names.ts_as})


def _named(assignment: str) -> tuple[str, str]:
    name, _, column = assignment.partition("=")
    if not column:
        raise click.UsageError(
            f"--column takes NAME=COLUMN, such as clicked=bought; got {assignment!r}"
        )
    return name, column
