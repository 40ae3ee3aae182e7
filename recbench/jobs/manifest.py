"""A run's manifest: what ran, on what, how it went; rewritten whole at each change of state."""

import importlib.metadata
import os
import platform
import socket
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from recbench.errors import InputError
from recbench.files import read_json, sha256_of, write_json

__all__ = ["Manifest", "Status", "code_facts", "environment_facts", "process_facts"]

Status = Literal["running", "succeeded", "failed", "killed", "interrupted"]
NAME = "manifest.json"
ROOT = Path(__file__).parents[2]


@dataclass(slots=True, kw_only=True)
class Manifest:
    """What ``manifest.json`` holds. Times are ISO 8601 in UTC, durations seconds.

    ``parameters`` are all of them, defaults included; ``data`` and ``tracking`` are what the notebook
    reported; ``cells`` has one entry per code cell begun, ``cell`` counted from 1 over code cells;
    ``attempts`` holds earlier attempts in the same folder, oldest first.
    """

    run: str
    notebook: str
    notebook_sha256: str
    parameters: dict[str, Any]
    status: Status = "running"
    error: str | None = None
    started_at: str = ""
    ended_at: str | None = None
    duration_s: float | None = None
    cells: list[dict[str, Any]] = field(default_factory=list)
    peak_memory_bytes: int | None = None
    data: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seed(self) -> Any:
        """The run's ``seed`` parameter; None where the notebook draws nothing."""
        return self.parameters.get("seed")

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        write_json(folder / NAME, {**asdict(self), "seed": self.seed})

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest in ``folder``.

        Raises:
            InputError: there is none, or it is not one of ours.
        """
        path = folder / NAME
        try:
            content = read_json(path)
            content.pop("seed", None)
            return cls(**content)
        except FileNotFoundError as error:
            raise InputError(f"`{folder}` is not a run: it has no {NAME}") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"`{path}` is not a manifest: {error}") from error

    def state(self) -> Status:
        """``status``, but killed where it says running and its process is no more."""
        if self.status == "running" and not _is_alive(self.process):
            return "killed"
        return self.status
