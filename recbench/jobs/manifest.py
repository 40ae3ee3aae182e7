"""What a run leaves behind about itself: ``manifest.json``, true at every moment of the run."""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recbench.errors import InputError
from recbench.files import sha256_of, write_json

__all__ = ["RunManifest", "environment", "process_start", "utc_now"]

NAME = "manifest.json"
PACKAGES = ("deltalake", "lightning", "numpy", "onnxruntime", "papermill", "polars", "torch", "wandb")
LOCK = Path(__file__).parents[2] / "environments" / "cpu.lock"


@dataclass(frozen=True, slots=True)
class RunManifest:
    """The manifest in a run's folder; every change replaces the file as a whole."""

    folder: Path

    def read(self) -> dict[str, Any]:
        """The facts; a run whose process is gone while it says running was killed."""
        path = self.folder / NAME
        if not path.exists():
            raise InputError(f"{self.folder} is no run: it has no {NAME}")
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if facts["status"] == "running" and process_start(facts["pid"]) != facts["process_start"]:
            facts["status"] = "killed"
        return facts

    def update(self, **facts: Any) -> None:
        """Set facts, keep the others."""
        path = self.folder / NAME
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_json(path, held | facts)


def environment(repository: Path) -> dict[str, Any]:
    """Commit, lock file, Python, machine and package versions of this process."""
    return {
        "commit": _git(repository, "rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git(repository, "status", "--porcelain")),
        "lock_sha256": sha256_of(LOCK) if LOCK.exists() else None,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def process_start(pid: int) -> float | None:
    """When the process with this id started, seconds since boot; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = stat.rpartition(")")[2].split()
    if after_name[0] == "Z":
        return None
    return int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def utc_now() -> str:
    """The time as ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
