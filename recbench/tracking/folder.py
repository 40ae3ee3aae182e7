"""The folder a run records to."""

import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from recbench.errors import InputError
from recbench.settings import runs_path

__all__ = ["job_folder", "new_run_folder", "run_folder"]


def new_run_folder(runs: Path, name: str, *, at: datetime) -> Path:
    """A new folder ``<utc>-<name>-<id>`` below ``runs``; ``id`` is random.

    Raises:
        InputError: ``runs`` cannot be written to, or is a file.
    """
    folder = runs / f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{name}-{uuid.uuid4().hex[:6]}"
    try:
        folder.mkdir(parents=True)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise InputError(
            f"Cannot create a run's folder below `{runs}` ({error.strerror}); "
            "set RECBENCH_RUNS to a folder that you may write to"
        ) from error
    return folder


def job_folder() -> Path | None:
    """The folder of the job this process belongs to (``RECBENCH_RUN_DIR``); None outside of one."""
    of_job = os.environ.get("RECBENCH_RUN_DIR")
    return Path(of_job) if of_job else None


def run_folder() -> Path:
    """The folder of the job this process belongs to, else a new one below ``runs_path()``.

    Where a new one is, is said: in a notebook as plain output, elsewhere on standard error, so
    that what a program prints stays its own.
    """
    if (of_job := job_folder()) is not None:
        return of_job
    folder = new_run_folder(runs_path().absolute(), "interactive", at=datetime.now(UTC))
    told = sys.stdout if _is_in_notebook() else sys.stderr
    told.write(f"Recording to {folder}\n")
    return folder


def _is_in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
