"""One execution of a notebook in a kernel of its own: how it ended, and what is left on disk."""

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from nbformat import NotebookNode

from recbench.files import whole_file
from recbench.jobs.kernel import kernel_manager_class
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import Status
from recbench.jobs.memory import PeakMemory

__all__ = ["Execution", "execute"]

SCHEME = "whole-file://"
START_TIMEOUT_S = 120
IOPUB_TIMEOUT_S = 120  # of a kernel that answered, until its output has come
BAR_EVERY_S = 10.0  # between two lines of one bar in a log


@dataclass(slots=True)
class Execution:
    """How a notebook's execution goes; filled as it proceeds, so that an exception loses nothing.

    ``cell`` is the code cell begun last, from 1; ``error`` names what ended the run early.
    """

    status: Status = "running"
    error: str | None = None
    cell: int = 0
    peak_memory_bytes: int | None = None


def execute(
    notebook: NotebookNode,
    folder: Path,
    *,
    environment: Mapping[str, str],
    listener: Listener,
    outcome: Execution,
    memory_limit_bytes: int | None = None,
) -> None:
    """Run every cell; ``executed.ipynb`` is rewritten whole after each, output goes to ``log.txt``.

    A failed cell or a dead kernel is told in ``outcome``; anything else (Ctrl-C, a full disk) is
    raised. In every case the kernel has ended on return.

    Args:
        notebook: with its parameters injected.
        folder: the run's.
        environment: added to this process's own for the kernel.
        listener: told of each code cell as it begins, and of output.
        outcome: filled in.
        memory_limit_bytes: that the kernel and what it starts may hold; more, and it is killed.
    """
    kernels: list[subprocess.Popen[bytes]] = []
    with (
        tempfile.TemporaryDirectory(prefix="recbench-", ignore_cleanup_errors=True) as sockets,
        (folder / "log.txt").open("a", encoding="utf-8") as log,
        PeakMemory(limit_bytes=memory_limit_bytes) as memory,
    ):

        def on_start(kernel: subprocess.Popen[bytes]) -> None:
            kernels.append(kernel)
            memory.watch(kernel.pid)

        output = _Output(log, listener)
        try:
            _run_cells(
                notebook,
                folder / "executed.ipynb",
                kernel_manager_class=kernel_manager_class(
                    sockets=Path(sockets), environment=environment, on_start=on_start
                ),
                on_cell_start=_cell_counter(notebook, listener, outcome),
                stdout_file=output,
                stderr_file=output,
            )
            outcome.status = "succeeded"
        except _execution_errors() as error:
            outcome.status, outcome.error = _ending(error, kernels, outcome.cell, memory)
        finally:
            output.close()
            outcome.peak_memory_bytes = memory.peak_bytes


def _run_cells(notebook: NotebookNode, output: Path, **options: Any) -> None:
    import papermill
    from papermill.iorw import papermill_io

    papermill_io.register(SCHEME, _WholeFiles)
    papermill.execute_notebook(
        notebook,
        SCHEME + str(output).replace("{", "{{").replace("}", "}}"),  # papermill formats paths
        kernel_name="python3",
        language="python",
        progress_bar=False,
        start_timeout=START_TIMEOUT_S,
        iopub_timeout=IOPUB_TIMEOUT_S,
        **options,
    )


def _execution_errors() -> tuple[type[Exception], ...]:
    """A cell that raised; a kernel that died or never started (both are a RuntimeError)."""
    from papermill.exceptions import PapermillExecutionError

    return (PapermillExecutionError, RuntimeError)


def _ending(
    error: Exception, kernels: list[subprocess.Popen[bytes]], cell: int, memory: PeakMemory
) -> tuple[Status, str]:
    code = kernels[-1].poll() if kernels else None
    if hasattr(error, "ename"):
        return "failed", f"cell {error.exec_count}: {error.ename}: {error.evalue}"  # type: ignore[attr-defined]  # nbclient sets it
    if code is None:
        return "failed", f"cell {cell}: {error}"
    if memory.exceeded is not None:
        return "killed", f"cell {cell}: the kernel {memory.exceeded}"
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    cause = " (often: out of memory)" if code == -9 else ""
    return "killed", f"cell {cell}: the kernel ended with {how}{cause}"


def _cell_counter(
    notebook: NotebookNode, listener: Listener, outcome: Execution
) -> Callable[..., None]:
    """A hook that counts the code cells that have something to run."""
    numbers: dict[int, int] = {}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            numbers[index] = len(numbers) + 1

    def on_cell_start(cell: NotebookNode, cell_index: int) -> None:
        if cell_index in numbers:
            outcome.cell = numbers[cell_index]
            listener.on_cell(outcome.cell, len(numbers))

    return on_cell_start


class _Output:
    """papermill's way to give away what cells print: to a file and to the listener.

    The file gets whole lines. Of a bar, which is drawn over itself, it gets a line now and then,
    and how it ended.
    """

    def __init__(self, log: TextIO, listener: Listener) -> None:
        self._log = log
        self._listener = listener
        self._line = ""
        self._bar_at = 0.0

    def write(self, text: str) -> None:
        self._listener.on_output(text)
        *whole, self._line = (self._line + text).split("\n")
        for line in whole:
            self._log.write(line.rstrip("\r").rsplit("\r", 1)[-1] + "\n")
        drawn, again, _ = self._line.rpartition("\r")
        if again and drawn.strip() and time.monotonic() - self._bar_at > BAR_EVERY_S:
            self._log.write(drawn.rsplit("\r", 1)[-1] + "\n")
            self._bar_at = time.monotonic()

    def flush(self) -> None:
        self._log.flush()

    def close(self) -> None:
        """What was printed last need not have ended its line."""
        self._log.write(self._line.rsplit("\r", 1)[-1])


class _WholeFiles:
    """papermill's way to write: each state of the notebook replaces the last one whole."""

    @staticmethod
    def write(text: str, path: str) -> None:
        with whole_file(Path(path.removeprefix(SCHEME))) as draft:
            draft.write_text(text, encoding="utf-8")

    @staticmethod
    def pretty_path(path: str) -> str:
        return path.removeprefix(SCHEME)
