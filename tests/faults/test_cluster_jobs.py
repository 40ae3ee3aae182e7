"""A notebook runs on a cluster that loses workers, memory, disk or its scheduler."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from recbench.cluster.failures import explained
from recbench.cluster.open import open_cluster
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import Manifest
from recbench.jobs.notebook import read_notebook
from recbench.jobs.on_cluster import OnCluster
from recbench.jobs.run import RunFailedError, resume_run, run_notebook

WAIT_S = 120
MIB = 2**20
SLOW = (
    "import os, time\nfrom pathlib import Path\n"
    "print(f'kernel {os.getpid()}', flush=True)\n"
    "while not Path(gate).exists():\n    time.sleep(0.05)"
)


class Heard(Listener):
    """Keeps what it is told, and wakes whoever waits for a text."""

    def __init__(self):
        self.output, self.attempts = "", []

    def on_attempt(self, number, place):
        self.attempts.append(place)

    def on_output(self, text):
        self.output += text

    def kernel(self, number=1):
        """The process of the nth kernel that spoke."""
        wait_for(lambda: self.output.count("kernel ") >= number and self.output.endswith("\n"))
        return psutil.Process(int(self.output.split("kernel ")[number].split()[0]))


def wait_for(what):
    """The first true answer of ``what``, asked again and again."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.02)
    return pytest.fail(f"waited {WAIT_S} s")


def is_gone(process):
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def client():
    """A client of two workers of 400 MiB."""
    with open_cluster("local", minimum=2, maximum=2, worker_memory_bytes=400 * MIB) as opened:
        yield opened


@pytest.fixture(autouse=True)
def untracked(monkeypatch):
    monkeypatch.setenv("RECBENCH_TRACKING", "off")


class Job:
    """A run on the cluster in a thread, and how it ended."""

    def __init__(self, client, notebook, tmp_path, **parameters):
        self.heard, self.error, self.result = Heard(), None, None
        self.runs = tmp_path / "runs"
        self._thread = threading.Thread(
            target=self._run, args=(client, notebook, parameters, tmp_path), daemon=True
        )
        self._thread.start()

    def _run(self, client, notebook, parameters, tmp_path):
        try:
            self.result = run_notebook(
                notebook,
                parameters,
                runs=self.runs,
                workspace=tmp_path / "workspace",
                listener=self.heard,
                way=OnCluster(client),
            )
        except (OSError, RunFailedError) as error:
            self.error = error

    def ended(self):
        """Itself, once it has ended."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self

    @property
    def folder(self):
        (folder,) = self.runs.iterdir()
        return folder

    @property
    def manifest(self):
        return Manifest.read(self.folder)


def test_a_killed_workers_job_is_done_elsewhere_and_once(client, tmp_path, write_notebook):
    notebook = write_notebook(tmp_path / "n.ipynb", SLOW, "print('done')", parameters="gate = ''")
    job = Job(client, notebook, tmp_path, gate=str(tmp_path / "gate"))
    first = job.heard.kernel()

    job_process = first.parent()
    job_process.parent().kill()  # the worker
    second = job.heard.kernel(2)
    (tmp_path / "gate").touch()

    assert job.ended().error is None
    assert is_gone(first)
    assert is_gone(second)
    assert len(job.heard.attempts) == 2
    manifest = job.manifest
    assert manifest.status == "succeeded"
    assert [attempt["status"] for attempt in manifest.attempts] == ["killed"]
    assert "whoever watched over it was lost" in manifest.attempts[0]["error"]
    log = (job.folder / "log.txt").read_text()
    assert log == f"kernel {second.pid}\ndone\n"
    assert f"kernel {first.pid}\nkernel {second.pid}\ndone\n" in job.heard.output
    assert "kernel" in (job.folder / "attempts" / "1" / "executed.ipynb").read_text()


def test_what_a_run_used_on_other_workers_is_in_its_figure(client, tmp_path, write_notebook):
    code = (
        "import time\nfrom recbench.cluster.current import current_client\n"
        "def burn(seconds):\n    end = time.process_time() + seconds\n"
        "    while time.process_time() < end:\n        pass\n"
        "current_client().gather(current_client().map(burn, [0.3] * 3, pure=False))"
    )
    job = Job(client, write_notebook(tmp_path / "n.ipynb", code), tmp_path)
    energy = job.ended().manifest.energy

    own = energy["parts"].pop("own processes")
    ((whose, tasks),) = energy["parts"].items()
    assert whose.startswith("tasks on ")
    assert tasks["cpu_s"] >= 0.9
    assert energy["joules"] == pytest.approx(own["joules"] + tasks["joules"])
    assert energy["cpu_s"] == pytest.approx(own["cpu_s"] + tasks["cpu_s"])
    assert f"J {whose}" in (job.folder / "report.html").read_text()


def test_a_stopped_workers_job_ends_before_it_is_done_elsewhere(tmp_path):
    """The lease of an attempt is shorter than what a scheduler waits for a silent worker."""
    from recbench.cluster.on_this_machine import WORKER_TTL
    from recbench.jobs.request import LEASE_S

    assert float(WORKER_TTL.removesuffix("s")) > LEASE_S


def test_ctrl_c_ends_the_kernel_and_leaves_no_process(tmp_path, write_notebook, monkeypatch):
    write_notebook(tmp_path / "n.ipynb", SLOW, parameters="gate = 'never'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_RUNS", str(tmp_path / "runs"))
    command = [sys.executable, "-c", "from recbench.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "run", "n.ipynb", "--on", "local"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )
    lines = iter(process.stdout.readline, "")
    kernel = next(line for line in lines if line.startswith("kernel "))
    family = psutil.Process(process.pid).children(recursive=True)
    assert int(kernel.split()[1]) in {child.pid for child in family}

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that did not move away
    output, errors = process.communicate(timeout=WAIT_S)

    assert process.returncode == 130, errors
    (folder,) = (tmp_path / "runs").iterdir()
    assert output.splitlines()[-1] == str(folder)
    manifest = Manifest.read(folder)
    assert manifest.status == "interrupted"
    assert manifest.error == "cell 2: cancelled"
    assert "kernel" in (folder / "executed.ipynb").read_text()
    wait_for(lambda: all(is_gone(child) for child in family))


def test_a_lost_scheduler_is_told_to_caller_and_folder(tmp_path, write_notebook):
    notebook = write_notebook(tmp_path / "n.ipynb", SLOW, parameters="gate = 'never'")
    code = (
        "import time\nfrom recbench.cluster.open import open_cluster\n"
        "if __name__ == '__main__':\n"
        "    with open_cluster('local', minimum=1, maximum=1) as client:\n"
        "        print(client.scheduler.address, flush=True)\n        time.sleep(300)\n"
    )
    (tmp_path / "scheduler.py").write_text(code)
    scheduler = subprocess.Popen(
        [sys.executable, tmp_path / "scheduler.py"], stdout=subprocess.PIPE, text=True
    )
    with open_cluster(scheduler.stdout.readline().strip()) as client:
        job = Job(client, notebook, tmp_path)
        kernel = job.heard.kernel()
        scheduler.kill()
        scheduler.communicate()
        job.ended()

    assert "connection to the scheduler was lost" in str(job.error)
    assert str(job.folder) in str(job.error)
    assert is_gone(kernel)
    assert job.manifest.status == "killed"
    assert job.manifest.error == "cell 2: whoever watched over it was lost"
    assert "kernel" in (job.folder / "executed.ipynb").read_text()


def test_a_kernel_above_its_workers_memory_ends_with_the_figures(client, tmp_path, write_notebook):
    code = "import time\nprint('filling', flush=True)\n"
    code += "held = [b'x' * (20 << 20) for _ in range(30)]\ntime.sleep(600)"
    job = Job(client, write_notebook(tmp_path / "n.ipynb", code), tmp_path).ended()

    assert job.manifest.status == "killed"
    found = job.manifest.error
    assert found.startswith("cell 2: the kernel held ")
    held, limit = (int(part.split(" MiB")[0]) for part in found.split("held ")[1].split("the "))
    assert 200 < limit < 0.95 * 400  # the worker itself holds some
    assert held > limit
    assert found in str(job.error)
    assert len(job.heard.attempts) == 1  # it would only happen again
    # nor when a worker is lost later, while somebody keeps the error and so the caller's frames
    tasks = client.cluster.scheduler.tasks
    wait_for(lambda: not [key for key in list(tasks) if key.startswith("job-")])
    assert (job.folder / "log.txt").read_text() == "filling\n"


def test_a_task_above_its_workers_memory_ends_with_the_figures(client, monkeypatch):
    from distributed.scheduler import KilledWorker

    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 1)  # Dask's own: 3

    def hoard():
        held = []
        for _ in range(60):
            held.append(b"x" * (10 << 20))
            time.sleep(0.005)
        time.sleep(600)

    with pytest.raises(KilledWorker) as raised:
        client.submit(hoard).result(timeout=WAIT_S)

    found = explained(raised.value, client)
    assert found.startswith("all 2 workers that tried ran out of memory: they held ")
    assert " MiB of 400 MiB each; give workers more memory" in found
    held = found.split("they held ")[1].split(" MiB")[0].split(", ")
    assert len(held) == 2
    assert all(int(each) >= 380 for each in held)


def test_a_full_disk_ends_the_job_with_a_clear_word_and_it_goes_on_later(
    client, tmp_path, write_notebook, small_disk
):
    disk, enlarge = small_disk
    fill = (
        "from pathlib import Path\nif not (Path(disk) / 'full').exists():\n"
        "    try:\n        (Path(disk) / 'full').write_bytes(b'x' * (2 << 20))\n"
        "    except OSError:\n        pass"
    )
    notebook = write_notebook(tmp_path / "n.ipynb", fill, "print('done')", parameters="disk = ''")
    job = Job(client, notebook, disk, disk=str(disk)).ended()

    assert isinstance(job.error, OSError)
    assert job.error.errno == errno.ENOSPC
    assert job.manifest.state() in {"failed", "killed"}
    assert json.loads((job.folder / "executed.ipynb").read_text())["cells"]

    enlarge()
    done = resume_run(job.folder, workspace=disk / "workspace", way=OnCluster(client))
    assert done.status == "succeeded"
    assert read_notebook(job.folder / "executed.ipynb").cells


def test_workers_that_do_not_see_the_folder_are_named(client, tmp_path, monkeypatch):
    from recbench.jobs.request import Request
    from recbench.jobs.supervise import supervise

    request = Request(
        folder=str(tmp_path / "elsewhere"),
        notebook="",
        workspace=str(tmp_path),
        working_directory=str(Path.cwd()),
        environment={},
    )
    ended = client.submit(supervise, request, pure=False).result()
    assert ended["status"] == "failed"
    assert "does not see this folder: runs and workspace must lie on a disk" in ended["error"]
