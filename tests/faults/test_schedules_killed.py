"""Scheduled jobs with real processes: begun at once by several, killed, too slow, failing first."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from recbench.jobs.manifest import Manifest
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.store import ScheduleStore
from recbench.jobs.schedules.times import Every

WAIT_S = 240
APPEND = (
    "import os, time\nfrom pathlib import Path\n"
    "with Path('ran').open('a') as ran:\n    ran.write(f'{os.getpid()}\\n')\n"
    "while not Path('go').exists():\n    time.sleep(0.05)"
)
STAGES = (
    "from pathlib import Path\nfrom recbench.jobs.stages import stage\n"
    "def fit():\n    with Path('fitted').open('a') as fitted:\n        fitted.write('x')\n"
    "    return 7\n"
    "fitted = stage('fit', fit)",
    "tries = Path('tries')\nbefore = tries.read_text() if tries.exists() else ''\n"
    "tries.write_text(before + 'x')\nassert before, 'not yet'",
)


def recbench(*arguments):
    return [sys.executable, "-c", "from recbench.cli import main; main()", *map(str, arguments)]


def wait_for(what):
    """The first true answer of ``what``, asked again and again."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.05)
    pytest.fail(f"waited {WAIT_S} s")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store of a workspace in which everything happens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    return ScheduleStore.of(tmp_path / "workspace")


@pytest.fixture
def scheduled(store, tmp_path, write_notebook):
    """Keeps a schedule whose only time so far was five minutes ago; gives that time."""

    def keep(*codes, **options):
        notebook = write_notebook(tmp_path / "n.ipynb", *codes)
        now = datetime.now(UTC)
        times = Every((now - timedelta(minutes=5)).timestamp())  # since 1970: comes once
        store.add(
            Schedule(
                name="job",
                notebook=str(notebook),
                times=times,
                directory=str(tmp_path),
                runs=str(tmp_path / "runs"),
                created_at=now - timedelta(hours=1),
                **options,
            )
        )
        return times.after(now - timedelta(hours=1))

    return keep


@pytest.fixture
def start():
    """Starts a process; killed at the end if it still runs."""
    started = []

    def begin(command):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def only(store):
    (occurrence,) = store.state("job").occurrences
    return occurrence


def test_four_processes_that_begin_the_same_time_at_once_run_it_once(
    store, scheduled, start, tmp_path
):
    due = scheduled(APPEND)
    Path("go").touch()
    places = [str(store.folder), str(tmp_path / "workspace")]
    command = [sys.executable, "-m", "recbench.jobs.schedules.attempt", *places, "job"]
    processes = [start([*command, due.isoformat(), "1"]) for _ in range(4)]
    codes = [process.wait(WAIT_S) for process in processes]

    assert sorted(codes) == [0, 3, 3, 3]
    assert len(Path("ran").read_text().splitlines()) == 1
    assert only(store).outcome == "succeeded"
    assert only(store).attempts[0].run == str(next((tmp_path / "runs").iterdir()))


@pytest.mark.slow
@pytest.mark.alone  # beside others it would have to wait for them
@pytest.mark.skipif(sys.platform != "linux", reason="Linux has idle priorities")
def test_an_idle_schedules_kernel_is_idle(store, scheduled):
    scheduled(
        "import os\nfrom pathlib import Path\n"
        "Path('ran').write_text(str(os.sched_getscheduler(0)))",
        idle=True,
    )
    subprocess.run(recbench("schedule", "run", "--once"), check=True, capture_output=True)
    assert only(store).outcome == "succeeded"
    assert Path("ran").read_text() == str(os.SCHED_IDLE)


def test_a_job_outlives_its_scheduler_and_the_next_one_does_not_run_it_again(
    store, scheduled, start
):
    scheduled(APPEND)
    scheduler = start(recbench("schedule", "run"))
    wait_for(lambda: Path("ran").exists() and Path("ran").read_text())
    second = subprocess.run(
        recbench("schedule", "run"), capture_output=True, text=True, check=False
    )
    scheduler.kill()
    scheduler.wait()
    again = subprocess.run(
        recbench("schedule", "run", "--once"), capture_output=True, text=True, check=False
    )
    was_running = only(store).is_running
    Path("go").touch()
    wait_for(lambda: only(store).outcome)

    assert second.returncode == 2
    assert "is running already" in second.stderr
    assert again.returncode == 0
    assert "begins" not in again.stdout
    assert was_running
    assert only(store).outcome == "succeeded"
    assert len(Path("ran").read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_time_that_waits_when_its_scheduler_is_killed_runs_once_when_it_is_cheap(
    store, scheduled, start, tmp_path
):
    tariff, now = tmp_path / "tariff.csv", datetime.now(UTC)
    begins = [f"{now + timedelta(hours=hours):%Y-%m-%dT%H:%MZ}" for hours in (-1, 2)]
    dear_then_cheap = f"from,price\n{begins[0]},0.4\n{begins[1]},0.1\n"
    tariff.write_text(dear_then_cheap)
    scheduled(APPEND, within_s=28_800.0, takes_s=60.0, tariff=str(tariff))
    Path("go").touch()
    first = start(recbench("schedule", "run"))
    assert "carries out 1 schedules" in first.stdout.readline()
    said = first.stdout.readline()
    first.kill()
    first.wait()
    tariff.write_text(dear_then_cheap.replace("0.4", "0.05"))
    for _ in range(2):
        subprocess.run(recbench("schedule", "run", "--once"), check=True, capture_output=True)

    assert "waits until" in said
    assert "a worker-hour costs 0.1 then, 0.4 now" in said
    assert only(store).outcome == "succeeded"
    assert "a worker-hour costs 0.05, 0.05 when it was due" in only(store).attempts[0].why
    assert len(Path("ran").read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_killed_job_is_killed_in_the_list_and_in_its_manifest(store, scheduled, start):
    scheduled(APPEND)
    scheduler = start(recbench("schedule", "run", "--once"))
    kernel = psutil.Process(
        int(wait_for(lambda: Path("ran").exists() and Path("ran").read_text().strip()))
    )
    kernel.parent().kill()
    output, _ = scheduler.communicate(timeout=WAIT_S)

    assert scheduler.returncode == 1
    assert "killed" in output
    assert only(store).outcome == "killed"
    assert Manifest.read(Path(only(store).run)).status == "killed"
    assert (Path(only(store).run) / "report.html").exists()


@pytest.mark.slow
def test_an_attempt_that_takes_too_long_is_ended_with_its_kernel(store, scheduled, start):
    scheduled(APPEND, timeout_s=60.0)
    scheduler = start(recbench("schedule", "run", "--once"))
    pid = int(wait_for(lambda: Path("ran").exists() and Path("ran").read_text().strip()))
    output, _ = scheduler.communicate(timeout=WAIT_S)

    assert "timed out: it took longer than 0:01:00" in output
    assert not psutil.pid_exists(pid)
    assert only(store).outcome == "timed_out"
    manifest = Manifest.read(Path(only(store).run))
    assert (manifest.status, manifest.error) == ("killed", "cell 2: it took longer than 0:01:00")
    assert (Path(only(store).run) / "report.html").exists()


@pytest.mark.slow
def test_a_retry_goes_on_in_the_failed_run_after_its_last_finished_stage(
    store, scheduled, tmp_path
):
    scheduled(*STAGES, retries=1, backoff_s=0.0)
    done = subprocess.run(recbench("schedule", "run", "--once"), check=True, capture_output=True)

    first, second = only(store).attempts
    assert b"attempt 2 begins" in done.stdout
    assert (first.status, second.status) == ("failed", "succeeded")
    assert "not yet" in first.error
    assert first.run == second.run
    assert Path("fitted").read_text() == "x"
    assert Path("tries").read_text() == "xx"
    manifest = Manifest.read(next((tmp_path / "runs").iterdir()))
    assert manifest.status == "succeeded"
    assert manifest.stages["fit"]["reused"]


@pytest.mark.slow
def test_a_second_scheduler_stands_by_and_takes_over(store, scheduled, start):
    scheduled(APPEND)
    Path("go").touch()
    with store.change("job") as state:
        state.handled_until = datetime.now(UTC)
    first = start(recbench("schedule", "run"))
    wait_for(store.has_runner)
    standby = start(recbench("schedule", "run", "--standby"))
    assert "stands by" in standby.stdout.readline()
    first.send_signal(signal.SIGTERM)
    assert first.wait(WAIT_S) == 0
    assert "carries out 1 schedules" in standby.stdout.readline()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_what_runs_and_says_so(store, scheduled, start):
    scheduled(APPEND)
    scheduler = start(recbench("schedule", "run"))
    pid = int(wait_for(lambda: Path("ran").exists() and Path("ran").read_text().strip()))
    scheduler.send_signal(signal.SIGINT)
    while "Finishing what was begun" not in scheduler.stdout.readline():
        assert scheduler.poll() is None
    still_runs = psutil.pid_exists(pid)
    scheduler.send_signal(signal.SIGINT)
    code = scheduler.wait(WAIT_S)

    assert still_runs
    assert code == 130
    assert not psutil.pid_exists(pid)
    assert only(store).outcome == "interrupted"
    assert Manifest.read(Path(only(store).run)).status == "interrupted"
