"""Days of load by name: generated, with the rhythm of a log, or those of a public trace."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.cluster.alibaba import alibaba_day
from recbench.cluster.compare import EVALUATION_SEEDS
from recbench.cluster.load_trace import LoadTrace, day_of_load
from recbench.datasets import load
from recbench.errors import InputError

__all__ = ["Days", "days_of", "rhythms"]

SMOOTHED_MINUTES = 30
USUAL_PEAK = 0.99  # quantile of all minutes that counts as the top of a usual day


class Days(NamedTuple):
    """Traces, and what they were made of."""

    traces: list[LoadTrace]
    data: dict[str, Any]


def days_of(
    data: str,
    *,
    n_days: int,
    workspace: Path,
    peak_workers: float = 40.0,
    share: float = 0.01,
) -> Days:
    """Traces of ``n_days`` that no dial was chosen on.

    Args:
        data: ``generated``; a folder with ``pai_job_table.csv`` and ``pai_task_table.csv``; or a
            catalogue name, Parquet file or Delta table, whose last days give the rhythm.
        n_days: how many.
        workspace: holds the lake, for a log.
        peak_workers: that refreshes keep busy at the top of a day; not of a public trace.
        share: of the jobs of a public trace's day.

    Raises:
        InputError: no such data, or too few days of it.
    """
    seeds = range(EVALUATION_SEEDS.start, EVALUATION_SEEDS.start + n_days)
    if data == "generated":
        traces = [day_of_load(seed, peak_workers=peak_workers) for seed in seeds]
        return Days(traces, {data: f"seeds {seeds.start} to {seeds.stop - 1}"})
    tables = Path(data) / "pai_job_table.csv", Path(data) / "pai_task_table.csv"
    if all(table.exists() for table in tables):
        traces = [alibaba_day(*tables, day=d, share=share, seed=s) for d, s in enumerate(seeds)]
        return Days(traces, {"alibaba": f"{n_days} days, {share:g} of the jobs"})
    found = rhythms(load(data, workspace=workspace).events[c.TS], n_days=n_days)
    traces = [
        replace(
            day_of_load(seed, peak_workers=peak_workers, rhythm=rhythm),
            name=f"{Path(data).stem}, {n_days - number} days before its end",
        )
        for number, (seed, rhythm) in enumerate(zip(seeds, found, strict=True))
    ]
    return Days(traces, {data: f"the last {n_days} days"})


def rhythms(ts: pl.Series, *, n_days: int) -> list[npt.NDArray[np.float64]]:
    """(1440,) for each of the last days: events by minute, smoothed, 1 at a usual day's top.

    Args:
        ts: instants of events.
        n_days: before the last event.

    Raises:
        InputError: the log is shorter.
    """
    minute = ts.dt.epoch("s").to_numpy() // 60
    last = int(minute.max()) + 1 if len(minute) else 0
    first = last - n_days * 1440
    if not len(minute) or int(minute.min()) > first:
        raise InputError(f"The log must reach back for {n_days} days; take fewer of them")
    counts = np.bincount(minute[minute >= first] - first, minlength=n_days * 1440)
    smooth = np.convolve(counts, np.full(SMOOTHED_MINUTES, 1 / SMOOTHED_MINUTES), mode="same")
    top = np.quantile(smooth, USUAL_PEAK)
    if not top:
        raise InputError(f"Hardly any event lies in the last {n_days} days of the log")
    return list((smooth / top).reshape(n_days, 1440))
