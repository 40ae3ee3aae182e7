"""A research workbench for near-real-time recommenders."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["runs"]
__version__ = "0.1.0"


def runs(folder: Path | str | None = None) -> "pl.DataFrame":
    """Every run as a table, one row a run; see ``recbench.jobs.frame.runs_frame``.

    Args:
        folder: of the runs; default: ``RECBENCH_RUNS``, else ``./papermill_runs``.
    """
    # By name: what lies below the jobs imports this package for its version only.
    settings, frame = import_module("recbench.settings"), import_module("recbench.jobs.frame")
    found: pl.DataFrame = frame.runs_frame(settings.runs_path() if folder is None else Path(folder))
    return found
