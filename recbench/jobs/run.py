"""A notebook as a job: one folder a run, true about how it went."""

import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.errors import InputError, JobError
from recbench.files import sha256_of
from recbench.jobs.kernel import DeadKernelError, execute
from recbench.jobs.manifest import RunManifest, environment, process_start, utc_now
from recbench.jobs.parameters import resolved
from recbench.jobs.report import write_report

__all__ = ["RunResult", "find_notebook", "run_notebook"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that succeeded."""

    folder: Path
    metrics: dict[str, Any]


def find_notebook(name: str, notebooks: Path) -> Path:
    """The notebook ``name`` in the folder ``notebooks``, or the file of that path.

    Raises:
        InputError: there is none.
    """
    for path in (notebooks / f"{name}.ipynb", Path(name)):
        if path.suffix == ".ipynb" and path.is_file():
            return path
    known = sorted(path.stem for path in notebooks.glob("*.ipynb"))
    raise InputError(f"There is no notebook {name!r} in {notebooks}; there are {known}")


def run_notebook(
    notebook: Path,
    parameters: dict[str, Any],
    *,
    runs: Path,
    workspace: Path,
    resume: Path | None = None,
) -> RunResult:
    """Execute the notebook in a folder of its own and report on it.

    Args:
        notebook: the file; it is not changed.
        parameters: by name; unknown or mistyped ones are refused before anything runs.
        runs: where the run's folder is made: ``<utc>-<notebook>-<id>``.
        workspace: handed to the notebook as ``RECBENCH_WORKSPACE``.
        resume: the folder of an earlier run to do again in place; what its steps had put into the
            workspace whole (lake, checkpoints, releases) is found there and not made twice.

    Raises:
        InputError: bad parameters.
        JobError: a cell failed, or the kernel was killed; the executed notebook is kept.
    """
    chosen = resolved(notebook, parameters)
    folder = resume or runs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{notebook.stem}-{secrets.token_hex(3)}"
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    manifest = RunManifest(folder)
    earlier = manifest.read()["attempts"] if resume else []
    manifest.update(
        notebook=notebook.stem,
        notebook_path=str(notebook.resolve()),
        notebook_sha256=sha256_of(notebook),
        parameters=chosen,
        seed=chosen.get("seed"),
        status="running",
        started=utc_now(),
        ended=None,
        error=None,
        pid=os.getpid(),
        process_start=process_start(os.getpid()),
        attempts=[*earlier, utc_now()],
        environment=environment(Path(__file__).parents[2]),
    )
    with _recorded(manifest, folder):
        timings, peak_mib = execute(
            notebook, folder / "executed.ipynb", parameters=chosen, environment=_variables(folder, workspace)
        )
        manifest.update(cells_s=timings, peak_memory_mib=peak_mib)
    manifest.update(status="succeeded", ended=utc_now())
    return RunResult(folder, write_report(folder))


@contextmanager
def _recorded(manifest: RunManifest, folder: Path) -> Iterator[None]:
    """Tell a failed cell, a killed kernel and an interruption apart, in the manifest, too."""
    from papermill.exceptions import PapermillExecutionError

    try:
        yield
    except PapermillExecutionError as error:
        what = f"{error.ename}: {_plain(error.evalue)}"
        manifest.update(status="failed", ended=utc_now(), error=what, failed_cell=error.exec_count)
        write_report(folder)
        raise JobError(
            f"Cell {error.exec_count} failed with {what}\n"
            f"The executed notebook is in {folder / 'executed.ipynb'}\n{folder}"
        ) from error
    except DeadKernelError as error:
        manifest.update(status="killed", ended=utc_now(), error=str(error))
        raise JobError(f"{error}; what it had done is in {folder}") from error
    except KeyboardInterrupt:
        manifest.update(status="interrupted", ended=utc_now(), error="interrupted")
        print(f"\nInterrupted; repeat it by --resume {folder}", file=sys.stderr)  # noqa: T201
        raise


def _variables(folder: Path, workspace: Path) -> dict[str, str]:
    return {
        "RECBENCH_RUN_DIR": str(folder.resolve()),
        "RECBENCH_WORKSPACE": str(workspace.resolve()),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
