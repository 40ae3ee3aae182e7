"""A run made again from what its folder keeps: its notebook, its parameters, what differs today."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat

from recbench.errors import InputError
from recbench.files import sha256_of, whole_file
from recbench.jobs.manifest import Manifest, code_facts, environment_facts
from recbench.jobs.notebook import read_notebook
from recbench.jobs.runs import environment_differences
from recbench.tables.lake import LakeTable

__all__ = ["Again", "Source", "plan_again"]

Source = Literal["kept", "current"]
ADDED = {"injected-parameters", "papermill-error-cell-tag"}  # cells that papermill put in


@dataclass(frozen=True, slots=True)
class Again:
    """What a run would be made again from.

    ``differences`` are those between then and now: (what, before, now).
    """

    notebook: Path
    origin: str  # in words: which notebook that is, and why
    parameters: dict[str, Any]
    differences: list[tuple[str, Any, Any]]


def plan_again(folder: Path, *, source: Source | None, workspace: Path) -> Again:
    """How to repeat the run in ``folder``; nothing runs.

    Args:
        folder: the earlier run's; its manifest is enough.
        source: ``current``: the notebook's file as it is now; ``kept``: the cells as they ran, from
            ``executed.ipynb``, without outputs and injected parameters. None: the file where it has
            not changed since, else the kept cells.
        workspace: whose lake tells the data's version now.

    Raises:
        InputError: no run, or the notebook that ``source`` means has gone.
    """
    earlier = Manifest.read(folder)
    file = Path(earlier.notebook)
    is_same = file.is_file() and sha256_of(file) == earlier.notebook_sha256
    chosen = source or ("current" if is_same else "kept")
    state = "has gone" if not file.is_file() else "as it was" if is_same else "has changed since"
    if chosen == "current":
        if not file.is_file():
            raise InputError(f"`{file}` has gone; leave out `--source`, and the kept cells run")
        notebook, origin = file, f"{file} ({state})"
    else:
        notebook = _kept(folder, file)
        origin = f"the cells that ran then, {notebook} ({file} {state})"
    return Again(
        notebook,
        origin,
        dict(earlier.parameters),
        _data_differences(earlier, workspace) + _surroundings(earlier, notebook, chosen),
    )


def _kept(folder: Path, file: Path) -> Path:
    """The notebook as it was before it ran, written into the run's folder; the same every time."""
    executed = folder / "executed.ipynb"
    if not executed.exists():
        raise InputError(
            f"`{file}` is not what `{folder.name}` ran, and that run kept no cells: it ended "
            "before its first one. `--source current` takes the file as it is now"
        )
    notebook = read_notebook(executed)
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    notebook.cells = [
        cell for cell in notebook.cells if not ADDED & set(cell.metadata.get("tags", []))
    ]
    for cell in notebook.cells:
        for added in ("papermill", "execution"):
            cell.metadata.pop(added, None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    path = folder / "source" / file.name
    with whole_file(path) as draft:
        draft.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]  # nbformat has no types
    return path


def _surroundings(earlier: Manifest, notebook: Path, chosen: Source) -> list[tuple[str, Any, Any]]:
    kept = earlier.notebook_sha256  # the same cells, if not the same bytes
    now = Manifest(
        run="",
        notebook=str(notebook),
        notebook_sha256=sha256_of(notebook) if chosen == "current" else kept,
        parameters={},
        code=code_facts(),
        environment=environment_facts(),
    )
    return environment_differences(earlier, now)


def _data_differences(earlier: Manifest, workspace: Path) -> list[tuple[str, Any, Any]]:
    """By the lake; a data set that it does not hold by this name is told as such."""
    found = []
    for name, version in earlier.data.items():
        now = _version_now(workspace / "lake" / name)
        if now != version:
            found.append((f"data {name}", f"version {version}", _in_words(now)))
    return found


def _version_now(folder: Path) -> int | None:
    state = folder / "source.json"
    if state.exists():
        version: int = json.loads(state.read_text(encoding="utf-8"))["version"]
        return version
    table = LakeTable(folder / "events")
    return table.version if table.exists else None


def _in_words(version: int | None) -> str:
    return "not in this lake" if version is None else f"version {version}"
