"""Which run started this one."""

from typing import Any

from recbench.errors import InputError
from recbench.jobs.manifest import Manifest
from recbench.tracking import job_folder

__all__ = ["lineage"]


def lineage(run: str) -> dict[str, Any]:
    """``parent`` and ``group`` of a new run's manifest.

    A run that is started from within a job belongs to that job's group; any other leads its own.
    """
    parent = job_folder()
    if parent is None:
        return {"parent": None, "group": run}
    try:
        group = Manifest.read(parent).group
    except InputError:
        group = ""
    return {"parent": parent.name, "group": group or parent.name}
