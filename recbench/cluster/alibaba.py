"""Load from the public GPU cluster trace of Alibaba's PAI, ``cluster-trace-gpu-v2020``.

Two of its tables are read, as CSV files with or without their header line:

- ``pai_job_table``: ``job_name``, ``start_time`` (when it was submitted, seconds);
- ``pai_task_table``: ``job_name``, ``task_name``, ``inst_num`` (instances), ``status`` (only
  ``Terminated`` tasks are taken), ``start_time``, ``end_time`` (seconds), ``plan_cpu`` and
  ``plan_gpu`` (hundredths of a core and of a GPU for each instance).

A task's instances run at once, so it is a gang; it takes as many workers as its instances need.
The trace names no deadlines: a job is due after it came by a multiple of how long it ran, and at
least a quarter of an hour. Source: Weng et al., "MLaaS in the Wild", NSDI 2022.
"""

import math
from dataclasses import replace
from pathlib import Path

import polars as pl

from recbench.cluster.load_trace import DAY_S, HOUR_S, Job, LoadTrace, day_of_load
from recbench.errors import InputError

__all__ = ["alibaba_day"]

JOB_COLUMNS = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
TASK_COLUMNS = (
    "job_name",
    "task_name",
    "inst_num",
    "status",
    "start_time",
    "end_time",
    "plan_cpu",
    "plan_mem",
    "plan_gpu",
    "gpu_type",
)
TIMES = ("start_time", "end_time")
LEAST_SLACK_S = 900.0


def alibaba_day(
    jobs: Path,
    tasks: Path,
    *,
    day: int = 0,
    share: float = 1.0,
    slack: float = 2.0,
    seed: int = 0,
    largest_gang: int = 32,
) -> LoadTrace:
    """The jobs that were submitted on one day, with prices and losses of the generated day.

    Args:
        jobs: ``pai_job_table.csv``.
        tasks: ``pai_task_table.csv``.
        day: counted from the first submission; the trace has about sixty.
        share: of the jobs that are taken, drawn by ``seed``: the traced cluster had 6,500 GPUs.
        slack: a job that ran for ten minutes is due so many times ten minutes after it came.
        seed: of the drawing, of prices, and of workers that are lost.
        largest_gang: workers; larger tasks are left out.

    Raises:
        InputError: a column or every job of the day is missing.
    """
    came = _table(jobs, JOB_COLUMNS).group_by("job_name").agg(pl.col("start_time").min())
    came = came.filter(pl.col("start_time").is_not_null()).rename({"start_time": "came"})
    ran = _table(tasks, TASK_COLUMNS).filter(
        pl.col("status") == "Terminated", pl.col("end_time") > pl.col("start_time")
    )
    first = came["came"].min()
    begin = day * DAY_S + (0.0 if first is None else float(first))  # type: ignore[arg-type]  # a numeric column
    joined = (
        came.filter(pl.col("came").is_between(begin, begin + DAY_S, closed="left"))
        .sort("job_name")
        .sample(fraction=share, seed=seed)
        .join(ran, on="job_name")
        .with_columns(came=pl.col("came") - begin, gang=_workers())
        .filter(pl.col("gang") <= largest_gang)
        .sort("came", "job_name", "task_name")
    )
    if joined.is_empty():
        raise InputError(f"`{tasks.name}` has no finished task of a job of day {day}")
    found = [
        Job(f"gang of {gang}", at, at + max(LEAST_SLACK_S, slack * seconds), (seconds,), gang)
        for at, seconds, gang in joined.select(
            "came", pl.col("end_time") - pl.col("start_time"), "gang"
        ).iter_rows()
    ]
    return _with_prices(f"{tasks.name}, day {day}", found, seed)


def _table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip().split(",")
    has_header = "job_name" in first
    missing = set(columns) - set(first) if has_header else set()
    if missing or (not has_header and len(first) != len(columns)):
        raise InputError(
            f"`{path.name}` must have the columns {', '.join(columns)}, got {', '.join(first)}"
        )
    numbers = [*TIMES, "inst_num", "plan_cpu", "plan_gpu"]
    types = {name: pl.Float64 if name in numbers else pl.String for name in columns}
    table = pl.read_csv(
        path,
        has_header=has_header,
        new_columns=None if has_header else list(columns),
        schema_overrides=types if has_header else list(types.values()),
        null_values="",
    )
    return table.select(columns)


def _workers() -> pl.Expr:
    """Workers of four threads or one GPU that all instances of a task take."""
    each = pl.max_horizontal(
        (pl.col("plan_cpu").fill_null(0) / 400).ceil(),
        (pl.col("plan_gpu").fill_null(0) / 100).ceil(),
    ).clip(1)
    return (pl.col("inst_num").fill_null(1) * each).cast(pl.Int64).clip(1)


def _with_prices(name: str, jobs: list[Job], seed: int) -> LoadTrace:
    """Prices, carbon and losses of a generated day, gone on with day after day."""
    day = day_of_load(seed)
    n_hours = math.ceil(max(job.due_s for job in jobs) / HOUR_S)

    def repeated(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values[hour % 24] for hour in range(n_hours))

    return replace(
        day,
        name=name,
        jobs=tuple(jobs),
        prices=repeated(day.prices),
        carbon_g_per_kwh=repeated(day.carbon_g_per_kwh),
        said_prices=repeated(day.said_prices),
        said_carbon=repeated(day.said_carbon),
    )
