"""Every dial in one place: small frozen dataclasses, each field with unit and meaning."""

import os
from pathlib import Path

__all__ = ["workspace_path"]


def workspace_path() -> Path:
    """Where the lake and the registry live: ``RECBENCH_WORKSPACE``, else ``./workspace``."""
    return Path(os.environ.get("RECBENCH_WORKSPACE", "workspace"))
