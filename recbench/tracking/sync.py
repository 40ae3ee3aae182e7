"""Offline W&B runs are sent to W&B later, each once."""

import netrc
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from recbench.errors import InputError

__all__ = ["offline_runs", "require_key", "send"]

SERVER = "https://api.wandb.ai"
SEND_LIMIT_S = 600.0  # of one run
HEADER_BYTES = 7  # of W&B's file
COMMAND = (sys.executable, "-m", "wandb", "sync", "--no-include-synced")


def offline_runs(folder: Path) -> list[Path]:
    """W&B's folders of a run that were not sent yet, of its earlier attempts, too; oldest first.

    W&B itself marks what it has sent by a file ``*.wandb.synced``. Where its service was killed
    before it wrote anything, there is nothing to send.
    """
    found = [*folder.glob("attempts/*/wandb/offline-run-*"), *folder.glob("wandb/offline-run-*")]
    return sorted(
        (part for part in found if _holds_something(part) and not _is_sent(part)),
        key=lambda part: part.name,
    )


def require_key() -> None:
    """Nothing, if there is a key for the W&B server (``WANDB_BASE_URL``).

    Raises:
        InputError: there is none.
    """
    host = urlsplit(os.environ.get("WANDB_BASE_URL", SERVER)).hostname or ""
    if not os.environ.get("WANDB_API_KEY") and host not in _hosts():
        raise InputError(
            f"There is no W&B key for {host}: set WANDB_API_KEY or call `wandb login`. The runs "
            "are kept as they are"
        )


def send(part: Path, *, limit_s: float = SEND_LIMIT_S) -> str | None:
    """Send one of ``offline_runs``; returns why that failed, None if it did not.

    Nothing is deleted, and only what W&B marks as sent counts as sent.
    """
    with subprocess.Popen(
        [*COMMAND, str(part.absolute())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=part,  # W&B leaves folders where it is called
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"no success within {limit_s:g} s"
        finally:
            _end(process)
    if _is_sent(part):
        return None
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else f"`wandb sync` ended with exit code {process.returncode}"


def _end(process: subprocess.Popen[str]) -> None:
    """End it and the service that it started, if they have not ended."""
    if process.poll() is None:
        for each in [*psutil.Process(process.pid).children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _holds_something(part: Path) -> bool:
    return any(path.stat().st_size > HEADER_BYTES for path in part.glob("*.wandb"))


def _is_sent(part: Path) -> bool:
    return any(part.glob("*.wandb.synced"))


def _hosts() -> set[str]:
    place = os.environ.get("NETRC")
    try:
        return set(netrc.netrc(place).hosts)
    except (OSError, netrc.NetrcParseError):
        return set()
