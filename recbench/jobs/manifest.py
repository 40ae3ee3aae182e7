"""A run's manifest: what ran, on what, how it went; rewritten whole at each change of state."""

import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

import psutil

from recbench.errors import InputError
from recbench.files import sha256_of, write_json

__all__ = ["Manifest", "Status", "code_facts", "environment_facts", "process_facts", "recorded"]

Status = Literal["running", "succeeded", "failed", "killed", "interrupted"]
NAME = "manifest.json"
ROOT = Path(__file__).parents[2]
KINDS: dict[str, Any] = {
    **dict.fromkeys(("run", "notebook", "notebook_sha256", "started_at", "group"), str),
    **dict.fromkeys(("parameters", "data", "tracking", "code", "process", "releases"), dict),
    **dict.fromkeys(("ended_at", "parent", "error"), str | None),
    **dict.fromkeys(("environment", "energy"), dict),
    "duration_s": int | float | None,
    "peak_memory_bytes": int | None,
}


@dataclass(slots=True, kw_only=True)
class Manifest:
    """What ``manifest.json`` holds. Times are ISO 8601 in UTC, durations seconds.

    ``parameters`` are all of them, defaults included; ``data`` and ``tracking`` are what the
    notebook reported; ``cells`` has one entry per code cell begun, counted from 1; ``stages`` says
    of each finished one how long it took and whether an earlier attempt had made it;
    ``attempts`` holds earlier attempts in the same folder, oldest first. ``parent`` is the run
    that started this one, ``group`` the topmost of such runs (the run itself where nothing started
    it), ``releases`` the folder of each release made, by id.
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
    stages: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    energy: dict[str, Any] = field(default_factory=dict)  # as `cost.RunCost.facts` gives
    data: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    parent: str | None = None
    group: str = ""
    releases: dict[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> Any:
        """The run's ``seed`` parameter; None where the notebook draws nothing."""
        return self.parameters.get("seed")

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        write_json(folder / NAME, {**asdict(self), "seed": self.seed})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest in ``folder``; what only a later version would know is left out.

        Raises:
            InputError: there is none, or it is not one of ours.
        """
        path = folder / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            _require_kinds(content)
            known = {part.name for part in fields(cls)}
            return cls(**{name: value for name, value in content.items() if name in known})
        except FileNotFoundError as error:
            raise InputError(f"`{folder}` is not a run: it has no {NAME}") from error
        except (ValueError, TypeError) as error:
            raise InputError(f"`{path}` is not a manifest: {error}") from error

    def state(self) -> Status:
        """``status``, but killed where it says running and its process is no more."""
        if self.status == "running" and not _is_alive(self.process):
            return "killed"
        return self.status


def recorded(folder: Path, name: str) -> dict[str, Any]:
    """What the notebook left in the JSON file ``name`` of its run's folder; empty if nothing.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / name
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"`{path}` is damaged: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"`{path}` is damaged: it holds {content!r}, not names and values")
    return content


def code_facts() -> dict[str, Any]:
    """The commit that recbench runs from, whether files differ from it, and the lock's hash.

    Each is None where it cannot be known: not a checkout, no git, no lock file.
    """
    lock = ROOT / "environments" / "cpu.lock"
    is_checkout = (ROOT / ".git").exists()
    commit = _git("rev-parse", "HEAD") if is_checkout else None
    changes = _git("status", "--porcelain") if is_checkout else None
    return {
        "commit": commit,
        "is_dirty": None if changes is None else bool(changes),
        "lock": str(lock.relative_to(ROOT)) if lock.exists() else None,
        "lock_sha256": sha256_of(lock) if lock.exists() else None,
    }


def environment_facts() -> dict[str, Any]:
    """Python, machine and the version of every installed package."""
    installed = {found.name.lower(): found.version for found in importlib.metadata.distributions()}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": dict(sorted(installed.items())),
    }


def process_facts() -> dict[str, Any]:
    """What identifies this process later: a number alone is used again by the system."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def _require_kinds(content: Any) -> None:
    """Nothing, if what others reckon with has the kind that they expect; else a TypeError."""
    if not isinstance(content, dict):
        raise TypeError(f"it holds {content!r}")
    for name, kind in KINDS.items():
        if name in content and not isinstance(content[name], kind):
            raise TypeError(f"`{name}` is {content[name]!r}")
    if content.get("status", "running") not in get_args(Status):
        raise ValueError(f"`status` is {content['status']!r}")
    for name in ("started_at", "ended_at"):
        if moment := content.get(name):
            datetime.fromisoformat(moment)


def _is_alive(process: dict[str, Any]) -> bool:
    """Whether the process lives; one of another machine counts as alive: we cannot tell."""
    if process.get("host") != socket.gethostname():
        return True
    try:
        found = psutil.Process(process["pid"])
        is_same = abs(found.create_time() - float(process["started"])) < 5.0
        return is_same and bool(found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
