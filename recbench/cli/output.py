"""How commands print tables and write their results for machines."""

from pathlib import Path
from typing import Any

import click
import polars as pl

from recbench.files import write_json

__all__ = ["json_option", "print_table", "save_json"]

json_option = click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the result as JSON to this file.",
)


def print_table(frame: pl.DataFrame) -> None:
    """Print every row and column as a Markdown table."""
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=1000,
        fmt_str_lengths=200,
        float_precision=4,
    ):
        click.echo(str(frame))


def save_json(path: Path | None, payload: Any) -> None:
    """Write ``payload`` where ``--json`` asked for it, if it did."""
    if path is not None:
        write_json(path, payload)
