"""Who is told how a run goes."""

from pathlib import Path

__all__ = ["SILENT", "Listener"]


class Listener:
    """Hears nothing; whoever wants to hear overrides what it wants.

    On a cluster all but the first are called in a thread of the client, one after another.
    """

    def on_folder(self, folder: Path) -> None:
        """The run's folder, as soon as there is one."""

    def on_attempt(self, number: int, place: str) -> None:
        """On a cluster: the worker that carries the run out; again when that one was lost."""

    def on_cell(self, cell: int, n_cells: int) -> None:
        """A code cell begins: its number, from 1, and how many there are."""

    def on_output(self, text: str) -> None:
        """What a cell printed, as it goes to ``log.txt``."""

    def is_wanted(self) -> bool:
        """Asked often while a run goes on elsewhere; False: it is cancelled, as by Ctrl-C."""
        return True


SILENT = Listener()
