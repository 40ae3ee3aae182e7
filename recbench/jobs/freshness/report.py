"""Every table of an experiment, written beside its lists."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from recbench.files import whole_file, write_json
from recbench.jobs.freshness.results import OURS, Results
from recbench.jobs.freshness.skipping import Skipping

__all__ = ["summary_of", "tables_of", "write_tables"]


def tables_of(results: Results, skipping: Skipping) -> dict[str, pl.DataFrame]:
    """By name: arms, curve, shares, singles, over_time, lags, skipping, forecast."""
    return {
        "arms": results.arms(),
        "curve": results.curve(),
        "shares": results.shares(),
        "singles": results.singles(),
        "over_time": results.over_time(),
        "lags": results.lags(),
        "skipping": skipping.table(),
        "forecast": skipping.history(),
    }


def summary_of(
    results: Results, skipping: Skipping, tables: dict[str, pl.DataFrame]
) -> dict[str, Any]:
    """What the experiment is remembered by."""
    done, ours = results.done, tables["curve"].filter(model=OURS)
    recommended = results.recommended()
    curve = {
        row["cadence"]: {name: row[name] for name in row if name not in {"model", "cadence"}}
        for row in ours.iter_rows(named=True)
    }
    return {
        "recommended": recommended.cadence,
        "reason": recommended.reason,
        "n_requests": len(done.asked),
        "left_out": done.asked.left_out,
        "stretches": [[int(start), int(end)] for start, end in done.within],
        "curve": curve,
        "skipping": skipping.summary(),
        "unsustainable": _unsustainable(tables["lags"]),
    }


def write_tables(folder: Path, tables: dict[str, pl.DataFrame], summary: dict[str, Any]) -> None:
    """``tables/*.parquet`` and ``summary.json``."""
    for name, table in tables.items():
        with whole_file(folder / "tables" / f"{name}.parquet") as draft:
            table.write_parquet(draft)
    write_json(folder / "summary.json", json.loads(json.dumps(summary, default=str)))


def _unsustainable(lags: pl.DataFrame) -> list[str]:
    rows = lags.filter(~pl.col("sustainable"))
    return [f"{row['of']} {row['dial']} {row['cadence']}" for row in rows.iter_rows(named=True)]
