"""How an attempt ended whose process has gone without a word."""

from pathlib import Path

from recbench.jobs.close import close_run
from recbench.jobs.manifest import Manifest

__all__ = ["ending_of"]

GONE = "its process ended without a word"


def ending_of(run: str | None, last: str | None) -> tuple[str, str | None]:
    """Status and error of the attempt; a run that still says running is recorded as killed.

    Args:
        run: its folder, if it had one.
        last: the last line of what the process said on its standard error.
    """
    error = last or GONE
    if run is None or not (Path(run) / "manifest.json").exists():
        return ("failed" if last else "killed"), error
    folder = Path(run)
    if Manifest.read(folder).status == "running":
        close_run(folder, "killed", error, within_s=0)
    manifest = Manifest.read(folder)
    return manifest.status, manifest.error
