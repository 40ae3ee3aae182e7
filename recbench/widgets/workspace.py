"""What is in a workspace: the lake's tables, releases and runs, and what to do next."""

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import polars as pl

from recbench import columns as c
from recbench.datasets import ColumnNames, lake_name
from recbench.datasets.column_names import missing_columns, names_path, naming_command
from recbench.jobs.runs import Run, list_runs
from recbench.refresh import Manifest, Registry
from recbench.tables.lake import LakeTable

__all__ = ["Overview", "lake_tables", "latest_result", "newest_event", "runs_table"]

EVENTS = "events"
RESULT = Path("tables") / "result.parquet"
N_ROWS = 1_000  # of a file, to guess what its columns are


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """One look at a workspace, from the side of one log."""

    data: str  # as it was asked for
    name: str  # the log's folder in the lake
    tables: pl.DataFrame  # as ``lake_tables`` gives
    registry: Registry
    current: Manifest | None
    newest: datetime | None  # event of the log that is served, else of the one asked for
    runs: pl.DataFrame  # as ``runs_table`` gives

    @classmethod
    def of(cls, data: str, *, workspace: Path, runs: Path) -> Self:
        """What is there now; nothing is fetched or written.

        Args:
            data: catalogue name, Parquet file or Delta table.
            workspace: the folder that holds ``lake/`` and ``registry/``; it may not exist yet.
            runs: the folder of the runs; it may not exist yet.

        Raises:
            InputError: no such data.
        """
        name = lake_name(data, workspace=workspace)
        registry = Registry(workspace / "registry")
        is_served = registry.current() is not None
        current = registry.open(verify=False).manifest if is_served else None
        newest = newest_event(workspace, current.data if current else name)
        tables = lake_tables(workspace)
        return cls(data, name, tables, registry, current, newest, runs_table(runs))

    @property
    def served_name(self) -> str:
        """The log that the current release is of; without a release the one asked for."""
        return self.current.data if self.current else self.name

    @property
    def version(self) -> int | None:
        """The lake's version of the log that was asked for; None: it was never read."""
        own = self.tables.filter(pl.col("table") == f"{self.name}/{EVENTS}")
        return int(own["version"][0]) if len(own) else None

    @property
    def lag_s(self) -> float | None:
        """Seconds of event time that the current release is behind the lake; None: unknown."""
        if self.current is None or self.newest is None:
            return None
        watermark = datetime.fromisoformat(self.current.watermark)
        return max(0.0, (self.newest - watermark).total_seconds())

    def steps(self) -> pl.DataFrame:
        """``step, state, command``: from a log to what is served; the first open one is "next".

        A file whose columns have other names has a step more.
        """
        has_release = self.current is not None and self.current.data == self.name
        rows = [
            *self._naming(),
            ("look at the log", self.version is not None, self._run("01_explore_events")),
            ("train, compare, release", has_release, self._run("03_train_two_tower")),
            (
                "learn from new events",
                has_release and self.lag_s == 0,
                self._run("05_incremental_refresh"),
            ),
            ("serve", None, "recbench serve"),
        ]
        is_open = [done is False for _, done, _ in rows]
        first = is_open.index(True) if any(is_open) else len(rows) - 1
        states = [
            "next" if place == first else "done" if done else "later"
            for place, (_, done, _) in enumerate(rows)
        ]
        names, _, commands = zip(*rows, strict=True)
        return pl.DataFrame({"step": names, "state": states, "command": commands})

    def next_command(self) -> str:
        """The command of the step that is next."""
        steps = self.steps()
        return str(steps.filter(pl.col("state") == "next")["command"][0])

    def _naming(self) -> list[tuple[str, bool | None, str]]:
        """The step that a file of other names needs, or needed."""
        path = Path(self.data).expanduser().absolute()
        is_named = names_path(path).exists()
        if not is_named and not missing_columns(path):
            return []
        names = ColumnNames.beside(path) if is_named else None
        names = names or ColumnNames.guessed(pl.read_parquet(path, n_rows=N_ROWS))
        return [("say which column is which", is_named, naming_command(path, names))]

    def _run(self, notebook: str) -> str:
        path = Path(self.data).expanduser()
        data = str(path.absolute()) if path.exists() else self.data
        return f"recbench run {notebook} -p {shlex.quote(f'data={data}')}"


def lake_tables(workspace: Path) -> pl.DataFrame:
    """``table, version, rows, newest`` of every Delta table in the lake, by name.

    ``newest`` is the time of the latest event; null for tables without times.
    """
    rows: list[tuple[str, int, int, datetime | None]] = []
    for log in sorted((workspace / "lake").glob("**/_delta_log")):
        table = LakeTable(log.parent)
        scan = table.read()
        times = [pl.col(c.TS).max()] if c.TS in scan.collect_schema() else [pl.lit(None)]
        n_rows, newest = scan.select(pl.len(), newest=times[0]).collect().row(0)
        name = log.parent.relative_to(workspace / "lake").as_posix()
        rows.append((name, table.version, n_rows, newest))
    counts: dict[str, pl.DataType] = {"version": pl.Int64(), "rows": pl.Int64()}
    schema = {"table": pl.String(), **counts, "newest": c.INSTANT}
    return pl.DataFrame(rows, schema=schema, orient="row")


def newest_event(workspace: Path, name: str) -> datetime | None:
    """The time of the latest event of the log ``name``; None: it is not in the lake, or empty."""
    for folder in (workspace / "lake" / name / EVENTS, workspace / "lake" / name):
        table = LakeTable(folder)
        if table.exists:
            newest: datetime | None = table.read().select(pl.col(c.TS).max()).collect().item()
            return newest
    return None


def latest_result(runs: Path) -> tuple[str, pl.DataFrame] | None:
    """The run that last judged models beside one another, and its table; None: there is none."""
    judged = [run for run in list_runs(runs) if (run.folder / RESULT).exists()]
    if not judged:
        return None
    folder = judged[-1].folder
    return folder.name, pl.read_parquet(folder / RESULT)


def runs_table(runs: Path) -> pl.DataFrame:
    """``run, notebook, status, started, duration_s`` of every run, the latest first."""
    schema = dict.fromkeys(("run", "notebook", "status", "started"), pl.String)
    found = [_run_facts(run) for run in reversed(list_runs(runs))]
    return pl.DataFrame(found, schema=schema | {"duration_s": pl.Float64}, orient="row")


def _run_facts(run: Run) -> tuple[Any, ...]:
    started = f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC" if run.started_at else ""
    duration_s = run.manifest.duration_s if run.manifest else None
    return run.folder.name, run.notebook, run.status, started, duration_s
