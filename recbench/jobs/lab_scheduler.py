"""JupyterLab's scheduler: jobs are checked when they are made, and never lie afterwards."""

import atexit
import multiprocessing.process
import multiprocessing.util  # noqa: F401  # what it does at exit must come after what we do
import os
import sys
import time
from pathlib import Path

import psutil
from jupyter_scheduler.environments import EnvironmentManager
from jupyter_scheduler.exceptions import SchedulerError
from jupyter_scheduler.models import (
    CountJobsQuery,
    CreateJob,
    CreateJobDefinition,
    DescribeJob,
    ListJobsQuery,
    ListJobsResponse,
    RuntimeEnvironment,
    Status,
)
from jupyter_scheduler.orm import Job
from jupyter_scheduler.scheduler import Scheduler
from jupyter_scheduler.task_runner import TaskRunner
from jupyter_scheduler.utils import get_utc_timestamp
from sqlalchemy import and_
from traitlets import Type, Unicode

from recbench.cluster.current import CLUSTER_VARIABLE
from recbench.cluster.open import KINDS
from recbench.errors import InputError
from recbench.jobs.extension import HERE, OUTPUT_DIRECTORY, OUTPUTS, typed_parameters

__all__ = ["JobEnvironments", "JobScheduler", "JobTaskRunner"]

SAME_S = 60.0  # a process that began later than this after its job is another one
REMEMBERED_S = 7 * 86_400  # how long a time of a definition stays claimed


@atexit.register
def _let_jobs_go_on() -> None:
    """Else a server that was told to end would wait for every job that it has started."""
    multiprocessing.process._children.clear()  # type: ignore[attr-defined]  # no public way


class JobEnvironments(EnvironmentManager):  # type: ignore[misc]  # untyped
    """One environment, this one; what it asks is where a job is carried out."""

    def list_environments(self) -> list[RuntimeEnvironment]:
        """The one that there is."""
        running = os.environ.get(CLUSTER_VARIABLE)
        return [
            RuntimeEnvironment(
                name="recbench",
                label="recbench",
                description="A run of recbench, as `recbench run` makes it",
                file_extensions=["ipynb"],
                output_formats=list(OUTPUTS),
                metadata={"path": sys.executable},
                compute_types=[HERE, *KINDS, *([running] if running else [])],
                default_compute_type=HERE,
            )
        ]

    def manage_environments_command(self) -> str:
        """None."""
        return ""

    def output_formats_mapping(self) -> dict[str, str]:
        """What the form calls the outputs."""
        return {"ipynb": "Executed notebook", "html": "Report", "txt": "Log"}


class JobTaskRunner(TaskRunner):  # type: ignore[misc]  # untyped
    """Makes jobs of definitions: each time once, whatever the number of servers; none overlaps."""

    def create_job(self, job_definition_id: str) -> None:
        """Begin the definition's job, unless another server has, or the one before still runs."""
        due = self.queue.peek().next_run_time
        running = ListJobsQuery(job_definition_id=job_definition_id, status=Status.IN_PROGRESS)
        if self.scheduler.list_jobs(running).total_count:
            self.log.warning("Job definition %s: the job before still runs", job_definition_id)
        elif self._is_first(job_definition_id, due):
            super().create_job(job_definition_id)

    def _is_first(self, job_definition_id: str, due: int) -> bool:
        claims = Path(self.scheduler.staging_path) / ".begun"
        claims.mkdir(parents=True, exist_ok=True)
        for claim in claims.iterdir():
            if claim.stat().st_mtime < time.time() - REMEMBERED_S:
                claim.unlink(missing_ok=True)
        try:
            (claims / f"{job_definition_id}-{due}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class JobScheduler(Scheduler):  # type: ignore[misc]  # untyped
    """Parameters are checked when a job is made; a job whose process has gone is failed."""

    execution_manager_class = Type(
        klass="jupyter_scheduler.executors.ExecutionManager",
        default_value="recbench.jobs.extension.JobExecutionManager",
        config=True,
    )
    task_runner_class = Type(
        allow_none=True,
        klass="jupyter_scheduler.task_runner.BaseTaskRunner",
        default_value="recbench.jobs.lab_scheduler.JobTaskRunner",
        config=True,
    )
    output_directory = Unicode(OUTPUT_DIRECTORY)

    def create_job(self, model: CreateJob) -> str:
        """Start a job; its id.

        Raises:
            SchedulerError: its parameters are not such as the notebook declares.
        """
        self._check(model)
        identity: str = super().create_job(model)
        with self.db_session() as session:
            # upstream calls it stopped until its process says more, a second or two later
            waits = and_(Job.status == Status.STOPPED, Job.end_time.is_(None))
            session.query(Job).filter(Job.job_id == identity, waits).update(
                {"status": Status.IN_PROGRESS}
            )
            session.commit()
        return identity

    def create_job_definition(self, model: CreateJobDefinition) -> str:
        """Keep a definition; its id.

        Raises:
            SchedulerError: as ``create_job``.
        """
        self._check(model)
        identity: str = super().create_job_definition(model)
        return identity

    def list_jobs(self, query: ListJobsQuery) -> ListJobsResponse:
        """As upstream, with true statuses."""
        self._settle()
        return super().list_jobs(query)

    def count_jobs(self, query: CountJobsQuery) -> int:
        """As upstream, with true statuses."""
        self._settle()
        count: int = super().count_jobs(query)
        return count

    def get_job(self, job_id: str, job_files: bool | None = True) -> DescribeJob:
        """As upstream, with its true status."""
        self._settle()
        return super().get_job(job_id, job_files)

    def stop_job(self, job_id: str) -> None:
        """End the job's process, and with it its kernel; of a job from before a restart, too."""
        with self.db_session() as session:
            job = session.query(Job).filter(Job.job_id == job_id).one()
            if job.status == Status.IN_PROGRESS:
                if process := _process_of(job):
                    process.kill()
                job.status, job.end_time = Status.STOPPED, get_utc_timestamp()
                session.commit()

    def _check(self, model: CreateJob | CreateJobDefinition) -> None:
        notebook = Path(self.root_dir, model.input_uri)
        if not notebook.is_file():
            return  # told upstream
        try:
            typed_parameters(notebook, model.parameters)
        except InputError as error:
            raise SchedulerError(str(error)) from error

    def _settle(self) -> None:
        """A job that says it runs, or was to begin, and whose process has gone, has failed."""
        with self.db_session() as session:
            is_open = and_(
                Job.status.in_((Status.IN_PROGRESS, Status.STOPPED)), Job.end_time.is_(None)
            )
            gone = [
                job.job_id
                for job in session.query(Job).filter(is_open, Job.pid.is_not(None))
                if _process_of(job) is None
            ]
            # asked again, in one statement: it may have recorded its end just before it went
            session.query(Job).filter(is_open, Job.job_id.in_(gone)).update(
                {
                    "status": Status.FAILED,
                    "status_message": "Its process ended without a word (often: out of memory)",
                    "end_time": get_utc_timestamp(),
                }
            )
            session.commit()


def _process_of(job: Job) -> psutil.Process | None:
    """The job's process if it lives; a number alone is used again by the system."""
    try:
        process = psutil.Process(job.pid)
        begun_s = (job.start_time or job.create_time) / 1000
        is_same = process.create_time() < begun_s + SAME_S
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
