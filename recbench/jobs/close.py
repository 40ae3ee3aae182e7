"""The record of a run whose own process could not keep it."""

import time
from datetime import UTC, datetime
from pathlib import Path

from recbench.jobs.manifest import Manifest, Status, recorded
from recbench.jobs.notebook import cell_timings
from recbench.jobs.report import write_report

__all__ = ["close_run"]

POLL_S = 0.05


def close_run(folder: Path, status: Status, error: str, *, within_s: float) -> None:
    """Record how a run ended, unless its own process does so within ``within_s`` seconds.

    What the process recorded stands: it knows the cell. ``executed.ipynb`` is there as far as it
    came, and the report is made of it.
    """
    deadline = time.monotonic() + within_s
    while (manifest := Manifest.read(folder)).status == "running":
        has_begun = bool(manifest.started_at) and manifest.state() == "running"
        if not has_begun or time.monotonic() > deadline:
            manifest.status, manifest.error = status, error
            manifest.ended_at = datetime.now(UTC).isoformat()
            manifest.cells = cell_timings(folder / "executed.ipynb")
            manifest.stages = recorded(folder, "stages.json")
            manifest.write(folder)
            write_report(folder)
            return
        time.sleep(POLL_S)
