"""A run before it begins: its folder, its manifest, and the notebook with its parameters."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from recbench.errors import InputError
from recbench.files import sha256_of
from recbench.jobs.lineage import lineage
from recbench.jobs.manifest import Manifest
from recbench.jobs.notebook import read_notebook, with_parameters
from recbench.jobs.parameters import declared_parameters, resolve_parameters
from recbench.tracking import new_run_folder

__all__ = ["Prepared", "begin_again", "new_run", "unfinished_run"]

# From attempt to attempt.
KEPT = {
    "attempts",
    "manifest.json",
    ".lock",
    "checkpoints",
    "children.json",
    "source",
    "stages",
    "sweep.journal",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an attempt needs: nothing has run yet."""

    folder: Path
    manifest: Manifest
    notebook: NotebookNode  # with the parameters that differ from its own injected


def new_run(notebook: Path, parameters: Mapping[str, Any], *, runs: Path) -> Prepared:
    """A run in a new folder below ``runs``.

    Raises:
        InputError: an unknown parameter, a value of the wrong kind, an unreadable notebook, a
            folder that cannot be created.
    """
    resolved, ready = _parameterised(notebook, parameters)
    folder = new_run_folder(runs.absolute(), notebook.stem, at=datetime.now(UTC))
    manifest = Manifest(
        run=folder.name,
        notebook=str(notebook.absolute()),
        notebook_sha256=sha256_of(notebook),
        parameters=resolved,
        **lineage(folder.name),
    )
    return Prepared(folder, manifest, ready)


def unfinished_run(folder: Path) -> Prepared:
    """A failed, killed or interrupted run, its notebook read anew; its files are set aside.

    Raises:
        InputError: the run is still running or has succeeded, or its notebook has gone.
    """
    earlier = Manifest.read(folder)
    if (state := earlier.state()) in {"running", "succeeded"}:
        raise InputError(f"`{folder.name}` is {state}; only an unfinished run can be resumed")
    notebook = Path(earlier.notebook)
    resolved, ready = _parameterised(notebook, earlier.parameters)
    earlier.status, earlier.parameters = state, resolved
    manifest = begin_again(earlier, folder)
    manifest.notebook_sha256 = sha256_of(notebook)
    return Prepared(folder, manifest, ready)


def begin_again(earlier: Manifest, folder: Path) -> Manifest:
    """The manifest of the next attempt; the earlier one's files move to ``attempts/<n>/``.

    What stages and checkpoints left stays where the next attempt looks for it.
    """
    past = asdict(earlier)
    attempts = [*past.pop("attempts"), past]
    _set_aside(folder, folder / "attempts" / str(len(attempts)))
    return Manifest(
        run=folder.name,
        notebook=earlier.notebook,
        notebook_sha256=earlier.notebook_sha256,
        parameters=earlier.parameters,
        attempts=attempts,
        parent=earlier.parent,
        group=earlier.group,
    )


def _parameterised(
    notebook: Path, parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], NotebookNode]:
    source = read_notebook(notebook)
    declared = declared_parameters(source, source=f"`{notebook.name}`")
    resolved = resolve_parameters(declared, parameters, source=f"`{notebook.name}`")
    changed = {name: value for name, value in resolved.items() if value != declared[name].default}
    return resolved, with_parameters(source, changed)  # the same cells whenever it is resumed


def _set_aside(folder: Path, attempt: Path) -> None:
    attempt.mkdir(parents=True)
    for part in folder.iterdir():
        if part.name not in KEPT:
            shutil.move(part, attempt / part.name)
