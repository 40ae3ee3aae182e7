import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from jupyter_scheduler.exceptions import SchedulerError
from jupyter_scheduler.models import CreateJob, CreateJobDefinition, ListJobsQuery, Status
from jupyter_scheduler.orm import Job, create_tables
from jupyter_scheduler.scheduler import Scheduler
from jupyter_scheduler.task_runner import JobDefinitionTask

from recbench.jobs.extension import HERE, JobExecutionManager
from recbench.jobs.lab_scheduler import JobEnvironments, JobScheduler
from recbench.jobs.manifest import Manifest

WAIT_S = 120
CODE = "print('k is', k, type(k).__name__)\nassert k != 13, 'unlucky'"


@pytest.fixture
def scheduler(tmp_path, write_notebook, monkeypatch):
    """A scheduler with its own database, on a folder with one notebook."""
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks" / "n.ipynb", CODE)
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    create_tables(url)
    made = JobScheduler(
        root_dir=str(tmp_path / "notebooks"),
        environments_manager=JobEnvironments(),
        db_url=url,
        staging_path=str(tmp_path / "staging"),
    )
    (tmp_path / "staging").mkdir()
    return made


def asked(kind=CreateJob, **options):
    chosen = {
        "input_uri": "n.ipynb",
        "name": "mine",
        "runtime_environment_name": "recbench",
        "output_formats": ["ipynb", "html", "txt"],
        "compute_type": HERE,
    }
    return kind(**(chosen | options))


def recorded(scheduler, **options):
    """A job as the scheduler records it, before any process; its execution manager."""
    model = asked(**options)
    with scheduler.db_session() as session:
        job = Job(**model.dict(exclude_none=True, exclude={"input_uri"}))
        session.add(job)
        session.commit()
        identity = job.job_id
    staging = scheduler.get_staging_paths(scheduler.get_job(identity, False))
    Path(staging["input"]).parent.mkdir(parents=True)
    scheduler.copy_input_file("n.ipynb", staging["input"])
    manager = JobExecutionManager(
        job_id=identity,
        root_dir=scheduler.root_dir,
        db_url=scheduler.db_url,
        staging_paths=staging,
    )
    return identity, manager


def outputs(job, scheduler):
    return {
        file.file_format: Path(scheduler.root_dir, file.file_path)
        for file in job.job_files
        if file.file_path
    }


def test_a_job_is_a_run_with_typed_parameters_and_its_outputs_are_there(scheduler, tmp_path):
    identity, manager = recorded(scheduler, parameters={"k": "5"})
    manager.process()

    job = scheduler.get_job(identity)
    (run,) = (tmp_path / "runs").iterdir()
    found = outputs(job, scheduler)
    assert job.status == Status.COMPLETED
    assert job.status_message == f"Run {run}"
    assert job.end_time >= job.start_time
    assert job.downloaded
    assert Manifest.read(run).parameters == {"k": 5}
    assert found["txt"].read_text() == "k is 5 int\n"
    assert nbformat.read(found["ipynb"], 4).metadata.papermill
    assert "n: succeeded" in found["html"].read_text()


def test_a_failed_job_is_failed_and_says_why(scheduler, capsys):
    identity, manager = recorded(scheduler, parameters={"k": "13"})
    manager.process()

    job = scheduler.get_job(identity)
    assert job.status == Status.FAILED
    assert "AssertionError: unlucky" in job.status_message
    assert job.end_time is not None
    assert "n: failed" in outputs(job, scheduler)["html"].read_text()


@pytest.mark.parametrize(
    ("parameters", "shown"),
    [({"k": "many"}, "`k` cannot be 'many'"), ({"kk": "1"}, "no parameter `kk`. Did you mean `k`")],
)
@pytest.mark.parametrize("kind", [CreateJob, CreateJobDefinition])
def test_bad_parameters_are_refused_when_the_job_is_made(scheduler, parameters, shown, kind):
    make = scheduler.create_job if kind is CreateJob else scheduler.create_job_definition
    with pytest.raises(SchedulerError, match=shown):
        make(asked(kind, parameters=parameters))

    assert scheduler.list_jobs(ListJobsQuery()).total_count == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, Status.IN_PROGRESS),
        ({"status": Status.STOPPED, "end_time": 1}, Status.STOPPED),
        ({"status": Status.COMPLETED, "end_time": 1}, Status.COMPLETED),
    ],
)
def test_a_job_whose_process_has_not_said_anything_yet_is_in_progress(
    scheduler, monkeypatch, before, after
):
    identity, _ = recorded(scheduler)
    with scheduler.db_session() as session:
        session.query(Job).filter(Job.job_id == identity).update({"pid": os.getpid(), **before})
        session.commit()
    monkeypatch.setattr(Scheduler, "create_job", lambda *_: identity)

    assert scheduler.create_job(asked(CreateJob)) == identity
    assert scheduler.get_job(identity, False).status == after


def test_validate_answers_as_the_scheduler_asks(scheduler, tmp_path):
    manager = scheduler.execution_manager_class
    (tmp_path / "not.ipynb").write_text("{}")

    assert manager is JobExecutionManager
    assert manager.validate(manager, str(tmp_path / "notebooks" / "n.ipynb"))
    assert not manager.validate(manager, str(tmp_path / "not.ipynb"))
    assert json.dumps(manager.supported_features(manager))


def test_a_job_whose_process_has_gone_is_failed_not_running_for_ever(scheduler):
    identity, _ = recorded(scheduler)
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    with scheduler.db_session() as session:
        values = {"status": Status.IN_PROGRESS, "pid": child, "start_time": int(time.time() * 1000)}
        session.query(Job).filter(Job.job_id == identity).update(values)
        session.commit()
    alive = scheduler.get_job(identity).status
    os.kill(child, signal.SIGKILL)
    gone = wait_for_end(scheduler, identity)
    os.waitpid(child, 0)

    assert alive == Status.IN_PROGRESS
    assert gone.status == Status.FAILED
    assert "ended without a word" in gone.status_message


def test_a_job_of_an_earlier_server_can_be_stopped(scheduler):
    identity, _ = recorded(scheduler)
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600")
    with scheduler.db_session() as session:
        values = {"status": Status.IN_PROGRESS, "pid": child, "start_time": int(time.time() * 1000)}
        session.query(Job).filter(Job.job_id == identity).update(values)
        session.commit()
    scheduler.stop_job(identity)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert scheduler.get_job(identity).status == Status.STOPPED


def wait_for_end(scheduler, identity):
    deadline = time.monotonic() + WAIT_S
    while (job := scheduler.get_job(identity)).status == Status.IN_PROGRESS:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job


def test_two_servers_make_one_job_of_one_time(scheduler, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(JobScheduler, "create_job", lambda _, model: made.append(model))
    definition = scheduler.create_job_definition(
        asked(CreateJobDefinition, schedule="0 0 * * *", parameters={"k": "5"})
    )
    other = JobScheduler(
        root_dir=scheduler.root_dir,
        environments_manager=JobEnvironments(),
        db_url=scheduler.db_url,
        staging_path=scheduler.staging_path,
    )
    for server in (scheduler, other):
        task = JobDefinitionTask(job_definition_id=definition, next_run_time=1_000)
        server.task_runner.queue.push(task)
        server.task_runner.create_job(definition)
    assert len(made) == 1


def test_a_definition_does_not_overlap_itself(scheduler, monkeypatch):
    made = []
    definition = scheduler.create_job_definition(asked(CreateJobDefinition, schedule="0 0 * * *"))
    identity, _ = recorded(scheduler, job_definition_id=definition)
    with scheduler.db_session() as session:
        session.query(Job).filter(Job.job_id == identity).update({"status": Status.IN_PROGRESS})
        session.commit()
    monkeypatch.setattr(JobScheduler, "create_job", lambda _, model: made.append(model))
    scheduler.task_runner.queue.push(JobDefinitionTask(definition, next_run_time=1_000))
    scheduler.task_runner.create_job(definition)

    assert made == []


def test_where_a_job_runs_is_a_choice(monkeypatch):
    monkeypatch.setenv("RECBENCH_CLUSTER", "tcp://127.0.0.1:8786")
    (environment,) = JobEnvironments().list_environments()

    assert environment.compute_types == [
        HERE,
        "local",
        "cuda",
        "kubernetes",
        "tcp://127.0.0.1:8786",
    ]
    assert environment.default_compute_type == HERE
    assert list(JobEnvironments().output_formats_mapping()) == environment.output_formats


def test_a_server_that_ends_does_not_wait_for_its_jobs():
    code = """
import multiprocessing, time
from recbench.jobs import lab_scheduler

job = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
job.start()
print(job.pid, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as server:
        job = psutil.Process(int(server.stdout.readline()))
        try:
            assert server.wait(60) == 0
            assert job.is_running()
        finally:
            job.kill()
