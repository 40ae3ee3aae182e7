"""The command line; each command's module is imported only when it is called."""

from recbench.cli.main import main

__all__ = ["main"]
