"""A notebook as a job: checked parameters, its own folder, an honest record of how it ended."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from recbench.errors import InputError, JobError
from recbench.files import sha256_of
from recbench.jobs.execute import CellListener, Execution, execute
from recbench.jobs.lineage import lineage
from recbench.jobs.manifest import (
    Manifest,
    Status,
    code_facts,
    environment_facts,
    process_facts,
    recorded,
)
from recbench.jobs.notebook import cell_timings, read_notebook, with_parameters
from recbench.jobs.parameters import Parameter, declared_parameters, resolve_parameters
from recbench.tracking import new_run_folder

__all__ = ["RunFailedError", "RunResult", "notebook_parameters", "resume_run", "run_notebook"]


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
    on_folder: Callable[[Path], None] = lambda _folder: None,
    on_cell: CellListener = lambda _cell, _cells: None,
) -> RunResult:
    """Run a notebook in a new folder below ``runs``.

    The folder gets ``executed.ipynb``, ``manifest.json``, ``log.txt`` and ``report.html``,
    whatever happens, and what the notebook records through ``recbench.tracking``.

    Args:
        notebook: an ``.ipynb`` file.
        parameters: values for some of the notebook's declared parameters.
        runs: where runs leave their folders.
        workspace: given to the notebook as ``RECBENCH_WORKSPACE``.
        on_folder: told the folder as soon as there is one.
        on_cell: told the number of each code cell as it begins, and how many there are.

    Raises:
        InputError: an unknown parameter, a value of the wrong kind, an unreadable notebook, a
            folder that cannot be created; nothing has run then.
        RunFailedError: a cell raised, or the kernel was killed.
    """
    source = read_notebook(notebook)
    declared = declared_parameters(source, source=f"`{notebook.name}`")
    resolved = resolve_parameters(declared, parameters, source=f"`{notebook.name}`")
    folder = new_run_folder(runs.absolute(), notebook.stem, at=datetime.now(UTC))
    on_folder(folder)
    manifest = Manifest(
        run=folder.name,
        notebook=str(notebook.absolute()),
        notebook_sha256=sha256_of(notebook),
        parameters=resolved,
        **lineage(folder.name),
    )
    given = {name: resolved[name] for name in parameters}
    return _attempt(
        with_parameters(source, given), manifest, folder, workspace=workspace, on_cell=on_cell
    )


def resume_run(
    folder: Path,
    *,
    workspace: Path,
    on_cell: CellListener = lambda _cell, _cells: None,
) -> RunResult:
    """Run a failed, killed or interrupted run's notebook again, with its parameters, in its folder.

    The earlier attempt's files move to ``attempts/<n>/``. Every cell runs again: a step is skipped
    only where the function it calls finds its own work done.

    Raises:
        InputError: the run is still running or has succeeded, or its notebook has gone.
        RunFailedError: as ``run_notebook``.
    """
    earlier = Manifest.read(folder)
    if (state := earlier.state()) in {"running", "succeeded"}:
        raise InputError(f"`{folder.name}` is {state}; only an unfinished run can be resumed")
    notebook = Path(earlier.notebook)
    source = read_notebook(notebook)
    declared = declared_parameters(source, source=f"`{notebook.name}`")
    resolved = resolve_parameters(declared, earlier.parameters, source=f"`{notebook.name}`")
    past = {**asdict(earlier), "status": state}
    attempts = [*past.pop("attempts"), past]
    _set_aside(folder, folder / "attempts" / str(len(attempts)))
    manifest = Manifest(
        run=folder.name,
        notebook=earlier.notebook,
        notebook_sha256=sha256_of(notebook),
        parameters=resolved,
        attempts=attempts,
        parent=earlier.parent,
        group=earlier.group,
    )
    return _attempt(
        with_parameters(source, resolved), manifest, folder, workspace=workspace, on_cell=on_cell
    )


def _attempt(
    notebook: NotebookNode,
    manifest: Manifest,
    folder: Path,
    *,
    workspace: Path,
    on_cell: CellListener,
) -> RunResult:
    from recbench.jobs.report import write_report

    begun = datetime.now(UTC)
    manifest.started_at = begun.isoformat()
    manifest.code = code_facts()
    manifest.environment = environment_facts()
    manifest.process = process_facts()
    manifest.write(folder)
    environment = {
        "RECBENCH_RUN_DIR": str(folder),
        "RECBENCH_RUNS": str(folder.parent),
        "RECBENCH_WORKSPACE": str(workspace.absolute()),
    }
    outcome = Execution()
    try:
        execute(notebook, folder, environment=environment, on_cell=on_cell, outcome=outcome)
    except KeyboardInterrupt:
        outcome.status, outcome.error = "interrupted", f"cell {outcome.cell}: Ctrl-C"
        raise
    except OSError as error:
        outcome.status, outcome.error = "failed", f"cell {outcome.cell}: {error}"
        raise
    finally:
        _finish(manifest, outcome, folder, seconds=(datetime.now(UTC) - begun).total_seconds())
    write_report(folder)
    if outcome.status != "succeeded":
        how = "was killed" if outcome.status == "killed" else "failed"
        message = f"The run {how} in {outcome.error}; what there is lies in {folder}"
        raise RunFailedError(message, folder=folder, status=outcome.status)
    return RunResult(folder, outcome.status, recorded(folder, "metrics.json"))


def _finish(manifest: Manifest, outcome: Execution, folder: Path, *, seconds: float) -> None:
    told = recorded(folder, "tracking.json")
    manifest.status = "failed" if outcome.status == "running" else outcome.status
    manifest.error = outcome.error
    manifest.ended_at = datetime.now(UTC).isoformat()
    manifest.duration_s = round(seconds, 3)
    manifest.cells = cell_timings(folder / "executed.ipynb")
    manifest.peak_memory_bytes = outcome.peak_memory_bytes
    manifest.data = told.get("data", {})
    manifest.tracking = told.get("tracking", {})
    manifest.releases = told.get("releases", {})
    manifest.write(folder)


def _set_aside(folder: Path, attempt: Path) -> None:
    attempt.mkdir(parents=True)
    for part in folder.iterdir():
        if part.name not in {"attempts", "manifest.json", "source"}:
            shutil.move(part, attempt / part.name)
