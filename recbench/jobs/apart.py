"""A run in a process apart from this one, which lives no longer than this one."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from recbench.jobs.close import close_run
from recbench.jobs.listener import Listener
from recbench.jobs.manifest import process_facts
from recbench.jobs.on_cluster import result_of
from recbench.jobs.prepare import Prepared
from recbench.jobs.request import CANCELLED, Request
from recbench.jobs.run import RunResult
from recbench.jobs.watch import watch

__all__ = ["Apart"]


@dataclass(frozen=True, slots=True)
class Apart:
    """The way of a run that a notebook starts from a kernel of its own."""

    def __call__(self, prepared: Prepared, *, workspace: Path, listener: Listener) -> RunResult:
        """Returns when the run has ended.

        Raises:
            RunFailedError: a cell raised, or the kernel was killed.
            KeyboardInterrupt: the listener does not want it any more, or Ctrl-C; the run's kernel
                has ended then.
            OSError: it could not write, such as to a full disk.
        """
        prepared.manifest.process = process_facts()
        prepared.manifest.write(prepared.folder)
        ended = watch(
            Request(
                folder=str(prepared.folder),
                notebook=nbformat.writes(prepared.notebook),  # type: ignore[no-untyped-call]  # nbformat has no types
                workspace=str(workspace.absolute()),
                working_directory=str(Path.cwd()),
                environment=dict(os.environ),
                is_leased=False,
            ),
            tell=lambda message: _tell(listener, message),
            unwanted=lambda: None if listener.is_wanted() else CANCELLED,
        )
        if not listener.is_wanted():
            close_run(prepared.folder, "interrupted", "cancelled", within_s=0)
            raise KeyboardInterrupt
        return result_of(prepared.folder, ended)


def _tell(listener: Listener, message: dict[str, Any]) -> None:
    if "cell" in message:
        listener.on_cell(*message["cell"])
    else:
        listener.on_output(message["output"])
