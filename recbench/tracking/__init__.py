"""What a run records, in its folder and in W&B."""

from recbench.tracking.folder import job_folder, new_run_folder
from recbench.tracking.record import (
    flat_metrics,
    log_metrics,
    log_release,
    log_summary,
    save_figure,
)

__all__ = [
    "flat_metrics",
    "job_folder",
    "log_metrics",
    "log_release",
    "log_summary",
    "new_run_folder",
    "save_figure",
]
