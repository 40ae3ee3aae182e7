"""How commands read the Parquet files they are given."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["read_parquet"]


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
