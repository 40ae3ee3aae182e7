"""Offline W&B runs are sent to W&B later, each once."""

import netrc
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from recbench.errors import InputError

__all__ = ["offline_runs", "require_key", "send"]

SERVER = "https://api.wandb.ai"
SEND_LIMIT_S = 600.0  # of one run
COMMAND = (sys.executable, "-m", "wandb", "sync", "--no-include-synced")


def offline_runs(folder: Path) -> list[Path]:
    """W&B's folders of a run that were not sent yet, of its earlier attempts, too; oldest first.

    W&B itself marks what it has sent by a file ``*.wandb.synced``.
    """
    found = [*folder.glob("attempts/*/wandb/offline-run-*"), *folder.glob("wandb/offline-run-*")]
    return sorted(
        (part for part in found if any(part.glob("*.wandb")) and not _is_sent(part)),
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
    try:
        done = subprocess.run(
            [*COMMAND, str(part)], capture_output=True, text=True, timeout=limit_s, cwd=part
        )
    except subprocess.TimeoutExpired:
        return f"W&B took more than {limit_s:g} s"
    if _is_sent(part):
        return None
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return said[-1] if said else f"`wandb sync` ended with exit code {done.returncode}"


def _is_sent(part: Path) -> bool:
    return any(part.glob("*.wandb.synced"))


def _hosts() -> set[str]:
    place = os.environ.get("NETRC")
    try:
        return set(netrc.netrc(place).hosts)
    except (OSError, netrc.NetrcParseError):
        return set()
