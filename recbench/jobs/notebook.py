"""A notebook file: read, given its parameters, timed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from recbench.errors import InputError

__all__ = ["cell_timings", "read_notebook", "with_parameters"]


def read_notebook(path: Path) -> NotebookNode:
    """The notebook in ``path``, in version 4.

    Raises:
        InputError: no such file, or not a notebook.
    """
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"There is no notebook `{path}`") from error
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"`{path}` is not a notebook: {type(error).__name__}") from error
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
