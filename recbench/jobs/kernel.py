"""Papermill over a kernel of this interpreter that never outlives its job."""

import ctypes
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recbench.errors import JobError

__all__ = ["DeadKernelError", "execute"]

KERNEL = "recbench"
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
MIB = 1 << 20


class DeadKernelError(JobError):
    """The kernel's process was killed from outside, or by the system for its memory."""


def execute(
    notebook: Path, target: Path, *, parameters: dict[str, Any], environment: dict[str, str]
) -> tuple[dict[int, float], float]:
    """Run every cell; ``target`` holds what was executed so far, also after a failure.

    The cells' output goes to ``log.txt`` beside ``target``.

    Returns:
        Seconds by cell number, and the kernel's peak memory in MiB.

    Raises:
        papermill.PapermillExecutionError: a cell raised.
        DeadKernelError: the kernel is gone.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError as Dead

    peak = target.with_name("peak_memory_mib")
    variables = environment | {"RECBENCH_PEAK_MEMORY": str(peak)}
    with _kernelspec(), _environment(variables), target.with_name("log.txt").open("a") as log:
        try:
            executed = papermill.execute_notebook(
                str(notebook),
                str(target),
                parameters=parameters,
                kernel_name=KERNEL,
                language="python",
                progress_bar={"mininterval": 1, "ascii": True, "ncols": 80, "desc": notebook.stem},
                log_output=False,
                stdout_file=log,
                stderr_file=log,
                autosave_cell_every=5,
                cwd=os.getcwd(),  # relative paths mean what they mean to the caller
            )
        except Dead as error:
            raise DeadKernelError(f"The kernel of {notebook.stem} was killed") from error
    timings = {
        number: cell["metadata"]["papermill"]["duration"] or 0.0
        for number, cell in enumerate(executed["cells"])
        if cell["cell_type"] == "code"
    }
    used = float(peak.read_text()) if peak.exists() else float("nan")
    peak.unlink(missing_ok=True)
    return timings, used


@contextmanager
def _kernelspec() -> Iterator[None]:
    """A kernelspec of this interpreter in a folder of its own, found by Jupyter meanwhile."""
    with tempfile.TemporaryDirectory(prefix="recbench-kernel-") as folder:
        spec = Path(folder, "kernels", KERNEL)
        spec.mkdir(parents=True)
        argv = [sys.executable, "-m", "recbench.jobs.kernel", str(os.getpid()), "-f", "{connection_file}"]
        facts = {"argv": argv, "display_name": "recbench", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(facts), encoding="utf-8")
        known = os.environ.get("JUPYTER_PATH")
        with _environment({"JUPYTER_PATH": folder + (os.pathsep + known if known else "")}):
            yield


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _main() -> None:
    """The kernel's process: dies with the job, and leaves its peak memory behind."""
    import atexit
    import resource

    job = int(sys.argv.pop(1))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != job:
            sys.exit("The job ended before its kernel started")

    def leave_peak() -> None:
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        Path(os.environ["RECBENCH_PEAK_MEMORY"]).write_text(str(round(peak_kib * 1024 / MIB, 1)))

    atexit.register(leave_peak)
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    _main()
