"""How JupyterLab's scheduler carries a job out: as any other run of ours.

``recbench lab`` names the class. A job is a process that the server starts; it outlives the
server, and records by itself how the run ended.
"""

import shutil
from pathlib import Path
from typing import Any

from jupyter_scheduler.executors import ExecutionManager
from jupyter_scheduler.models import DescribeJob, JobFeature, Status
from jupyter_scheduler.orm import Job
from jupyter_scheduler.utils import create_output_directory, get_utc_timestamp

from recbench.errors import InputError
from recbench.jobs.listener import Listener
from recbench.jobs.parameters import parse_assignments
from recbench.jobs.run import notebook_parameters, run_notebook
from recbench.jobs.way import way_to
from recbench.settings import runs_path, workspace_path

__all__ = ["HERE", "OUTPUTS", "OUTPUT_DIRECTORY", "JobExecutionManager", "typed_parameters"]

OUTPUTS = {"ipynb": "executed.ipynb", "html": "report.html", "txt": "log.txt"}  # format: our file
OUTPUT_DIRECTORY = "jobs"  # below the folder that JupyterLab shows
HERE = "this machine"  # the choice of cluster that is none
LONGEST_MESSAGE = 1024  # characters that the scheduler's table has room for


def typed_parameters(notebook: Path, texts: dict[str, str] | None) -> dict[str, Any]:
    """The form's texts as values of the kinds that the notebook's parameters cell declares.

    Raises:
        InputError: an unreadable notebook, an unknown name, or a value of another kind.
    """
    assignments = [f"{name}={text}" for name, text in (texts or {}).items()]
    source = f"`{notebook.name}`"
    return parse_assignments(notebook_parameters(notebook), assignments, source=source)


class JobExecutionManager(ExecutionManager):  # type: ignore[misc]  # untyped
    """Runs one job in the process that the scheduler started for it."""

    def execute(self) -> None:
        """Run the notebook; the outputs that were asked for are laid where JupyterLab looks.

        Raises:
            RunFailedError: the run failed or was killed; the job is then failed.
            InputError: it could not begin.
        """
        job = self.model
        notebook = Path(self.staging_paths["input"])
        found = _Folder()
        try:
            with way_to(None if job.compute_type in {None, HERE} else job.compute_type) as way:
                run_notebook(
                    notebook,
                    typed_parameters(notebook, job.parameters),
                    runs=runs_path(),
                    workspace=workspace_path(),
                    listener=found,
                    way=way,
                )
        finally:
            if found.folder:
                self._lay_out(job, found.folder)
        self._record(status_message=f"Run {found.folder}")

    def on_failure(self, e: Exception) -> None:
        """Record a failed job, why, and when it ended."""
        self._record(
            status=Status.FAILED,
            status_message=str(e)[:LONGEST_MESSAGE],
            end_time=get_utc_timestamp(),
        )

    def supported_features(cls) -> dict[JobFeature, bool]:  # called with the class
        """What the form may ask for."""
        asked = {
            JobFeature.job_name,
            JobFeature.parameters,
            JobFeature.output_formats,
            JobFeature.job_definition,
            JobFeature.stop_job,
            JobFeature.delete_job,
        }
        return {feature: feature in asked for feature in JobFeature}

    def validate(cls, input_path: str) -> bool:  # called with the class
        """Whether the notebook can be run at all; a class method would be called wrongly."""
        try:
            notebook_parameters(Path(input_path))
        except InputError:
            return False
        return True

    def _lay_out(self, job: DescribeJob, run: Path) -> None:
        """Into the staging area, and at once where the download would put it."""
        shown = Path(
            self.root_dir, OUTPUT_DIRECTORY, create_output_directory(job.input_filename, job.job_id)
        )
        shown.mkdir(parents=True, exist_ok=True)
        for kind in job.output_formats or []:
            staged, made = Path(self.staging_paths[kind]), run / OUTPUTS[kind]
            if made.exists():
                shutil.copyfile(made, staged)
                shutil.copyfile(made, shown / staged.name)
        shutil.copyfile(self.staging_paths["input"], shown / job.input_filename)

    def _record(self, **values: Any) -> None:
        with self.db_session() as session:
            session.query(Job).filter(Job.job_id == self.job_id).update(values)
            session.commit()


class _Folder(Listener):
    folder: Path | None = None

    def on_folder(self, folder: Path) -> None:
        self.folder = folder
