"""How a run goes, on the terminal."""

import sys
from pathlib import Path
from typing import Any

import click

from recbench.jobs.listener import Listener

__all__ = ["Progress"]


class Progress(Listener):
    """Cells done: one moving line in a terminal, one line a cell elsewhere; the folder last.

    Args:
        shows_output: whether what cells print is shown, too, as it comes.
    """

    def __init__(self, *, shows_output: bool = False) -> None:
        self.folder: Path | None = None
        self._shows_output = shows_output
        self._bar: Any = None

    def on_folder(self, folder: Path) -> None:
        """Say where it runs."""
        self.folder = folder
        click.echo(f"Running in {folder}; what it prints goes to log.txt there")

    def on_attempt(self, number: int, place: str) -> None:
        """Say on which worker, and that the one before was lost."""
        again = "" if number == 1 else f"; attempt {number}, since its worker was lost"
        self._say(f"On {place}{again}\n")

    def on_cell(self, cell: int, n_cells: int) -> None:
        """Move on to this cell."""
        if not sys.stdout.isatty():
            click.echo(f"cell {cell}/{n_cells}")
            return
        if self._bar is None:
            from recbench.progress import bar

            self._bar = bar(n_cells, unit="cell")
        self._bar.set_description(f"cell {cell}/{n_cells}")
        self._bar.update(cell - 1 - self._bar.n)

    def on_output(self, text: str) -> None:
        """Show it if wanted."""
        if self._shows_output:
            self._say(text)

    def close(self) -> None:
        """The last line."""
        if self._bar is not None:
            self._bar.close()
        if self.folder is not None:
            click.echo(str(self.folder))

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        click.echo(text, nl=False)
