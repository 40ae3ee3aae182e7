"""How commands read what they are given: Parquet files and lengths of time."""

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Duration", "read_exposures", "read_parquet"]

DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>ms|s|m|h|d)")
UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def read_parquet(path: Path) -> "pl.DataFrame":
    """The rows of one Parquet file.

    Raises:
        InputError: no such file, no Parquet, or no rows.
    """
    import polars as pl

    from recbench.errors import InputError

    if not path.is_file():
        raise InputError(f"There is no file {path}")
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is not a Parquet file: {error}") from error
    if not len(frame):
        raise InputError(f"{path} holds no rows")
    return frame


def read_exposures(path: Path) -> "pl.DataFrame":
    """The rows of a Parquet file or Delta table; of joined examples the latest revisions.

    Raises:
        InputError: no such file or table, or no rows.
    """
    from recbench.errors import InputError
    from recbench.events.joined import latest
    from recbench.tables.lake import LakeTable

    table = LakeTable(path)
    if path.is_dir() and table.exists:
        frame = table.read().collect()
        if not len(frame):
            raise InputError(f"{path} holds no rows")
    else:
        frame = read_parquet(path)
    return latest(frame) if "revision" in frame.columns else frame


class Duration(click.ParamType[timedelta]):
    """A length of time: a number with its unit, such as ``90s``, ``30m``, ``2h`` or ``1d``."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        """The length, not below zero."""
        if isinstance(value, timedelta):
            return value
        found = DURATION.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no length of time; write 90s, 30m, 2h or 1d", param, ctx)
        return float(found["number"]) * UNITS[found["unit"]]
