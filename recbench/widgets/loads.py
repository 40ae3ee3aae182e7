"""Loads of a service, kept with the run that made them, and read again from saved runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recbench.jobs.runs import list_runs

__all__ = ["SavedLoads", "load_tables", "saved_loads"]

PREFIX, MARKS = "load-", "load_swaps"  # of tables of a run
KEPT = ("due_s", "latency_ms", "error")
SWAPS = {"load": pl.String, "at_s": pl.Float64}


@dataclass(frozen=True, slots=True, eq=False)
class SavedLoads:
    """Loads by name, the newest run's first, and when releases were published meanwhile."""

    loads: dict[str, pl.DataFrame]
    swaps_s: dict[str, list[float]]


def load_tables(
    loads: Mapping[str, pl.DataFrame], swaps_s: Mapping[str, Sequence[float]]
) -> dict[str, pl.DataFrame]:
    """The loads as tables for ``tracking.log_summary``, so that ``saved_loads`` finds them.

    Args:
        loads: by name, the frames of ``Answers``.
        swaps_s: by load, when a release was published, on the load's clock.
    """
    kept = {f"{PREFIX}{name}": frame.select(KEPT) for name, frame in loads.items()}
    marks = [(name, at) for name, every in swaps_s.items() for at in every]
    return kept | {MARKS: pl.DataFrame(marks, schema=SWAPS, orient="row")}


def saved_loads(runs: Path, *, last: int = 5) -> SavedLoads:
    """The loads of the newest runs that kept some, named ``open (4d33cc)`` by load and run's id.

    Args:
        runs: where the runs lie.
        last: at most so many runs.
    """
    folders = [
        run.folder / "tables"
        for run in reversed(list_runs(runs))
        if any((run.folder / "tables").glob(f"{PREFIX}*.parquet"))
    ]
    loads: dict[str, pl.DataFrame] = {}
    swaps_s: dict[str, list[float]] = {}
    for folder in folders[:last]:
        said = f"({folder.parent.name.split('-')[-1]})"
        for path in sorted(folder.glob(f"{PREFIX}*.parquet")):
            loads[f"{path.stem.removeprefix(PREFIX)} {said}"] = pl.read_parquet(path)
        if (marks := folder / f"{MARKS}.parquet").exists():
            for name, at in pl.read_parquet(marks).rows():
                swaps_s.setdefault(f"{name} {said}", []).append(at)
    return SavedLoads(loads, swaps_s)
