"""A notebook file: read, given its parameters, timed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from recbench.errors import InputError

__all__ = ["cell_timings", "read_notebook", "with_parameters"]

FORMAT = 4


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in ``path``.

    Raises:
        InputError: no such file, or not a notebook of format 4.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"There is no notebook `{path}`") from error
    if _format_of(text) != FORMAT:
        raise InputError(f"`{path}` is not a notebook of format {FORMAT}")
    try:
        notebook: NotebookNode = nbformat.reads(text, FORMAT)  # type: ignore[no-untyped-call]  # nbformat has no types
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise InputError(f"`{path}` is not a notebook: {error.message}") from error
    return notebook


def with_parameters(notebook: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """A notebook ready for papermill, ``values`` in a new cell after its parameters cell."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    ready: NotebookNode = load_notebook_node(notebook)
    if values:
        ready = parameterize_notebook(ready, dict(values), kernel_name="python3", language="python")
    return ready


def cell_timings(executed: Path) -> list[dict[str, Any]]:
    """``{"cell", "duration_s"}`` of each code cell that ran, from 1; none without a file."""
    if not executed.exists():
        return []
    cells = [cell for cell in read_notebook(executed).cells if cell.cell_type == "code"]
    timings = [cell.metadata.get("papermill", {}).get("duration") for cell in cells if cell.source]
    return [
        {"cell": number, "duration_s": duration}
        for number, duration in enumerate(timings, start=1)
        if duration is not None
    ]


def _format_of(text: str) -> Any:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return None
    return content.get("nbformat") if isinstance(content, dict) else None
