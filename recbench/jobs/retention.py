"""Which old runs may go, and their removal."""

import shutil
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from recbench.errors import InputError
from recbench.files import one_at_a_time, sync_directory
from recbench.jobs.runs import Run, list_runs

__all__ = ["Pruning", "plan_pruning", "remove_runs"]

REMOVED = ".removed-"  # a run on its way out; no longer listed
QUIET = timedelta(days=1)  # a folder that names no process counts as in use until so long unchanged


@dataclass(frozen=True, slots=True)
class Pruning:
    """``gone`` are the runs to remove, oldest first, with their sizes in bytes.

    ``spared`` would have gone by age or number, and stay for the reason given.
    """

    gone: dict[Path, int]
    spared: dict[Path, str]

    @property
    def n_bytes(self) -> int:
        """Of all runs to remove."""
        return sum(self.gone.values())


def plan_pruning(
    runs: Path,
    *,
    keep: int | None = None,
    older_than: timedelta | None = None,
    notebook: str | None = None,
    kept_releases: Mapping[str, str | None],
    now: datetime,
) -> Pruning:
    """What would go; nothing is touched.

    A run goes if it is beyond the newest ``keep`` of its notebook and older than ``older_than``;
    one of the two may be left out. It stays all the same while it runs, as long as a release that
    it made is kept, and as the parent of a run that stays. A lab session, or a run whose manifest
    cannot be read, counts as running until its folder has not changed for a day.

    Args:
        runs: where the runs lie.
        keep: runs of each notebook.
        older_than: since a run began.
        notebook: consider the runs of this notebook only.
        kept_releases: id of every release there is, and the run it names, if it names one.
        now: with a time zone.

    Raises:
        InputError: neither ``keep`` nor ``older_than``, or a negative one.
    """
    _check(keep, older_than)
    found = list_runs(runs)
    candidates = _old(found, keep=keep or 0, before=now - (older_than or timedelta(0)))
    if notebook is not None:
        candidates = [run for run in candidates if run.notebook == notebook]
    needed = {
        run.folder: reason
        for run in found
        if (reason := _needed(run, kept_releases, now=now)) is not None
    }
    going = {run.folder.name: run for run in candidates if run.folder not in needed}
    spared = {run.folder: needed[run.folder] for run in candidates if run.folder in needed}
    for parent, child in _parents_that_stay(found, going).items():
        spared[going.pop(parent).folder] = f"it is the parent of {child}"
    return Pruning({run.folder: _size(run.folder) for run in going.values()}, spared)


def remove_runs(pruning: Pruning, *, runs: Path) -> list[Path]:
    """Remove what the plan says; returns the runs that went.

    Each run first gets a hidden name, in one move, and is deleted then: after a crash a run is
    there whole, or it is gone and the next call deletes the rest. A run that has begun to run
    again, or that somebody else removed, is passed over.
    """
    removed = []
    with one_at_a_time(runs):
        for folder in pruning.gone:
            if not folder.is_dir() or Run.look_at(folder).status == "running":
                continue
            folder.rename(runs / f"{REMOVED}{uuid.uuid4().hex[:8]}")
            removed.append(folder)
        sync_directory(runs)
        for waste in runs.glob(f"{REMOVED}*"):
            shutil.rmtree(waste, ignore_errors=True)
    return removed


def _check(keep: int | None, older_than: timedelta | None) -> None:
    if keep is None and older_than is None:
        raise InputError("Say which runs may go: `keep` (the newest of a notebook), `older_than`")
    if keep is not None and keep < 0:
        raise InputError(f"`keep` must not be negative, got {keep}")
    if older_than is not None and older_than < timedelta(0):
        raise InputError(f"`older_than` must not be negative, got {older_than}")


def _old(runs: Sequence[Run], *, keep: int, before: datetime) -> list[Run]:
    """Oldest first; a run that nothing dates is as old as can be."""
    by_notebook: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_notebook[run.notebook].append(run)
    kept = {run.folder for same in by_notebook.values() for run in same[max(0, len(same) - keep) :]}
    return [
        run
        for run in runs
        if run.folder not in kept and (run.started_at is None or run.started_at < before)
    ]


def _needed(run: Run, kept_releases: Mapping[str, str | None], *, now: datetime) -> str | None:
    """Why this run must stay whatever its age; None: it need not."""
    if run.status == "running":
        return "it is running"
    if run.manifest is None and _changed_since(run.folder, now - QUIET):
        return f"it is {run.status} and has changed within a day"
    told = {value for name, value in run.metrics.items() if name.split("/")[-1] == "release"}
    for release, maker in kept_releases.items():
        if maker == run.folder.name or release in run.releases or release in told:
            return f"release {release} is kept"
    for release, folder in run.releases.items():  # of another workspace
        if Path(folder, "manifest.json").exists():
            return f"release {release} is kept in {Path(folder).parent}"
    return None


def _parents_that_stay(runs: Sequence[Run], going: Mapping[str, Run]) -> dict[str, str]:
    """The parents among those that would go, each with a run it started and that stays."""
    parents = {run.folder.name: run.manifest.parent for run in runs if run.manifest}
    staying = [name for name in parents if name not in going]
    found: dict[str, str] = {}
    while staying:
        child = staying.pop()
        parent = parents.get(child)
        if parent in going and parent not in found:
            found[str(parent)] = child
            staying.append(str(parent))  # whose own parent then stays, too
    return found


def _changed_since(folder: Path, moment: datetime) -> bool:
    stamps = [path.lstat().st_mtime for path in (folder, *folder.rglob("*"))]
    return max(stamps) > moment.timestamp()


def _size(folder: Path) -> int:
    """Bytes of its files; links count as themselves."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
