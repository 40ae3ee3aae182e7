"""A notebook as a job: checked parameters, its own folder, an honest record of how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self

from recbench.cluster.charges import CHARGES_VARIABLE
from recbench.errors import JobError
from recbench.files import one_at_a_time
from recbench.jobs.cost import RunCost, charges_folder
from recbench.jobs.execute import Execution, execute
from recbench.jobs.listener import SILENT, Listener
from recbench.jobs.manifest import (
    Manifest,
    Status,
    code_facts,
    environment_facts,
    process_facts,
    recorded,
)
from recbench.jobs.notebook import cell_timings, read_notebook
from recbench.jobs.parameters import Parameter, declared_parameters
from recbench.jobs.prepare import Prepared, new_run, unfinished_run

__all__ = [
    "RunFailedError",
    "RunResult",
    "Way",
    "carry_out",
    "notebook_parameters",
    "resume_run",
    "run_notebook",
]

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that succeeded; ``metrics`` is what it recorded, empty when it recorded nothing."""

    folder: Path
    status: Status
    metrics: dict[str, Any] = field(default_factory=dict)


class RunFailedError(JobError):
    """A run that failed or was killed; ``folder`` keeps the notebook as far as it came."""

    def __init__(self, message: str, *, folder: Path, status: Status) -> None:
        super().__init__(message)
        self.folder = folder
        self.status = status

    @classmethod
    def of(cls, folder: Path, status: Status, error: str | None) -> Self:
        """Says in which cell it ended, why, and where what there is lies."""
        how = "was killed" if status == "killed" else "failed"
        message = f"The run {how} in {error}; what there is lies in {folder}"
        return cls(message, folder=folder, status=status)


class Way(Protocol):
    """Carries a prepared run out, here or elsewhere; raises as ``run_notebook`` does."""

    def __call__(self, prepared: Prepared, *, workspace: Path, listener: Listener) -> RunResult:
        """Returns when the run has ended."""


def notebook_parameters(notebook: Path) -> dict[str, Parameter]:
    """What the notebook's cell tagged ``parameters`` declares.

    Raises:
        InputError: not a readable notebook, or a parameters cell that is not plain literals.
    """
    return declared_parameters(read_notebook(notebook), source=f"`{notebook.name}`")


def run_notebook(
    notebook: Path,
    parameters: Mapping[str, Any],
    *,
    runs: Path,
    workspace: Path,
    listener: Listener = SILENT,
    way: "Way | None" = None,
) -> RunResult:
    """Run a notebook in a new folder below ``runs``.

    The folder gets ``executed.ipynb``, ``manifest.json``, ``log.txt`` and ``report.html``,
    whatever happens, and what the notebook records through ``recbench.tracking``.

    Args:
        notebook: an ``.ipynb`` file.
        parameters: values for some of the notebook's declared parameters.
        runs: where runs leave their folders.
        workspace: given to the notebook as ``RECBENCH_WORKSPACE``.
        listener: told how it goes.
        way: who carries the run out; None: this process.

    Raises:
        InputError: an unknown parameter, a value of the wrong kind, an unreadable notebook, a
            folder that cannot be created; nothing has run then.
        RunFailedError: a cell raised, or the kernel was killed.
    """
    prepared = new_run(notebook, parameters, runs=runs)
    listener.on_folder(prepared.folder)
    return (way or _here)(prepared, workspace=workspace, listener=listener)


def resume_run(
    folder: Path,
    *,
    workspace: Path,
    listener: Listener = SILENT,
    way: "Way | None" = None,
) -> RunResult:
    """Run a failed, killed or interrupted run's notebook again, with its parameters, in its folder.

    The earlier attempt's files move to ``attempts/<n>/``. Every cell runs again, but a stage that
    the earlier attempt finished (see ``recbench.jobs.stages``) gives its result at once.

    Raises:
        InputError: the run is still running or has succeeded, or its notebook has gone.
        RunFailedError: as ``run_notebook``.
    """
    prepared = unfinished_run(folder)
    return (way or _here)(prepared, workspace=workspace, listener=listener)


def _here(prepared: Prepared, *, workspace: Path, listener: Listener) -> RunResult:
    with one_at_a_time(prepared.folder):
        return carry_out(prepared, workspace=workspace, listener=listener)


def carry_out(
    prepared: Prepared,
    *,
    workspace: Path,
    listener: Listener = SILENT,
    environment: Mapping[str, str] = NOTHING,
    memory_limit_bytes: int | None = None,
) -> RunResult:
    """Execute a prepared run in this process's kernel, and record how it ended.

    The caller sees to it that nobody else works in the folder.

    Args:
        prepared: by ``new_run`` or ``unfinished_run``.
        workspace: as for ``run_notebook``.
        listener: told of cells and output.
        environment: more variables for the kernel.
        memory_limit_bytes: at which the kernel is killed; None: whatever the machine has.

    Raises:
        RunFailedError: as ``run_notebook``.
    """
    from recbench.jobs.report import write_report

    manifest, folder = prepared.manifest, prepared.folder
    begun = datetime.now(UTC)
    manifest.started_at = begun.isoformat()
    manifest.code = code_facts()
    manifest.environment = environment_facts()
    manifest.process = process_facts()
    manifest.write(folder)
    charges = charges_folder(folder, n_attempts=len(manifest.attempts))
    outcome, cost = Execution(), RunCost(charges)
    try:
        execute(
            prepared.notebook,
            folder,
            environment={**environment, **_places(folder, workspace, charges)},
            listener=listener,
            outcome=outcome,
            memory_limit_bytes=memory_limit_bytes,
        )
    except KeyboardInterrupt as stop:
        outcome.status, reason = getattr(stop, "ending", ("interrupted", "Ctrl-C"))
        outcome.error = f"cell {outcome.cell}: {reason}"
        raise
    except OSError as error:
        outcome.status, outcome.error = "failed", f"cell {outcome.cell}: {error}"
        raise
    finally:
        manifest.energy = cost.facts()
        _finish(manifest, outcome, folder, seconds=(datetime.now(UTC) - begun).total_seconds())
    write_report(folder)
    if outcome.status != "succeeded":
        raise RunFailedError.of(folder, outcome.status, outcome.error)
    return RunResult(folder, outcome.status, recorded(folder, "metrics.json"))


def _places(folder: Path, workspace: Path, charges: Path) -> dict[str, str]:
    return {
        CHARGES_VARIABLE: str(charges.absolute()),
        "RECBENCH_RUN_DIR": str(folder),
        "RECBENCH_RUNS": str(folder.parent),
        "RECBENCH_WORKSPACE": str(workspace.absolute()),
    }


def _finish(manifest: Manifest, outcome: Execution, folder: Path, *, seconds: float) -> None:
    told = recorded(folder, "tracking.json")
    manifest.status = "failed" if outcome.status == "running" else outcome.status
    manifest.error = outcome.error
    manifest.ended_at = datetime.now(UTC).isoformat()
    manifest.duration_s = round(seconds, 3)
    manifest.cells = cell_timings(folder / "executed.ipynb")
    manifest.stages = recorded(folder, "stages.json")
    manifest.peak_memory_bytes = outcome.peak_memory_bytes
    manifest.data = told.get("data", {})
    manifest.tracking = told.get("tracking", {})
    manifest.releases = told.get("releases", {})
    manifest.write(folder)
