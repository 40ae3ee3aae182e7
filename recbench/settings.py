"""Every dial in one place: small frozen dataclasses, each field with unit and meaning."""

import os
from pathlib import Path

__all__ = ["notebooks_path", "runs_path", "workspace_path"]


def workspace_path() -> Path:
    """Where the lake and the registry live: ``RECBENCH_WORKSPACE``, else ``./workspace``."""
    return Path(os.environ.get("RECBENCH_WORKSPACE", "workspace"))


def runs_path() -> Path:
    """Where runs leave their folders: ``RECBENCH_RUNS``, else ``./papermill_runs``."""
    return Path(os.environ.get("RECBENCH_RUNS", "papermill_runs"))


def notebooks_path() -> Path:
    """Where notebooks are looked up by name.

    ``RECBENCH_NOTEBOOKS``, else ``./notebooks`` when it holds notebooks, else the ones beside the
    package.
    """
    if chosen := os.environ.get("RECBENCH_NOTEBOOKS"):
        return Path(chosen)
    here = Path("notebooks")
    if any(here.glob("*.ipynb")):
        return here
    return Path(__file__).parents[1] / "notebooks"


def registry_path() -> Path:
    """Where releases live: ``registry/`` in the workspace."""
    return workspace_path() / "registry"


def runs_path() -> Path:
    """Where runs leave their folders: ``RECBENCH_RUNS``, else ``./papermill_runs``."""
    return Path(os.environ.get("RECBENCH_RUNS", "papermill_runs"))


def notebooks_path() -> Path:
    """Where notebooks are: ``RECBENCH_NOTEBOOKS``, else ``./notebooks``, else the repository's."""
    if "RECBENCH_NOTEBOOKS" in os.environ:
        return Path(os.environ["RECBENCH_NOTEBOOKS"])
    here = Path("notebooks")
    return here if here.is_dir() else Path(__file__).parents[1] / "notebooks"
