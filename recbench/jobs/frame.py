"""All runs as one table: one row a run, one column for each parameter, metric and data version."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from recbench.jobs.runs import Run, list_runs

__all__ = ["runs_frame"]

INSTANT = pl.Datetime("us", "UTC")
FACTS: dict[str, Any] = {
    "run": pl.String,
    "notebook": pl.String,
    "status": pl.String,
    "started_at": INSTANT,
    "ended_at": INSTANT,
    "duration_s": pl.Float64,
    "peak_memory_bytes": pl.Int64,
    "energy_j": pl.Float64,
    "cpu_s": pl.Float64,
    "cost": pl.Float64,
    "releases": pl.List(pl.String),
    "group": pl.String,
    "parent": pl.String,
    "commit": pl.String,
    "is_dirty": pl.Boolean,
    "error": pl.String,
    "damage": pl.String,
    "folder": pl.String,
}
LARGEST = 2**63 - 1  # of Int64


def runs_frame(runs: Path) -> pl.DataFrame:
    """Every run below ``runs``, oldest first; after the facts come columns of what runs differ in.

    These are ``data.NAME`` (version), ``parameters.NAME`` and ``metrics.NAME``, with nested metrics
    as ``metrics.ndcg@20/known/value``; null where a run has none. A column is Boolean, Int64,
    Float64 or String; values of several kinds, lists and mappings become JSON text.

    ``status`` is running, succeeded, failed, interrupted, killed (also where the process has gone
    without a word), interactive (a lab session) or damaged; ``damage`` says what cannot be read.
    """
    found = list_runs(runs)
    facts = pl.DataFrame([_facts(run) for run in found], schema=FACTS, orient="row")
    return facts.with_columns(
        *_columns("data", found, lambda run: run.data),
        *_columns("parameters", found, lambda run: run.manifest.parameters if run.manifest else {}),
        *_columns("metrics", found, lambda run: run.metrics),
    )


def _facts(run: Run) -> dict[str, Any]:
    manifest = run.manifest
    facts = {
        "run": run.folder.name,
        "notebook": run.notebook,
        "status": run.status,
        "started_at": run.started_at and run.started_at.astimezone(UTC),
        "releases": sorted(run.releases),
        "damage": run.damage,
        "folder": str(run.folder),
    }
    if manifest is None:
        return dict.fromkeys(FACTS) | facts
    ended = manifest.ended_at and datetime.fromisoformat(manifest.ended_at).astimezone(UTC)
    duration = manifest.duration_s
    return (
        dict.fromkeys(FACTS)
        | facts
        | {
            "ended_at": ended or None,
            "duration_s": None if duration is None else float(duration),
            "peak_memory_bytes": manifest.peak_memory_bytes,
            "energy_j": _if_kind(manifest.energy.get("joules"), float),
            "cpu_s": _if_kind(manifest.energy.get("cpu_s"), float),
            "cost": _if_kind(manifest.energy.get("cost"), float),
            "group": manifest.group or run.folder.name,
            "parent": manifest.parent,
            "commit": _if_kind(manifest.code.get("commit"), str),
            "is_dirty": _if_kind(manifest.code.get("is_dirty"), bool),
            "error": manifest.error,
        }
    )


def _columns(
    kind: str, runs: Sequence[Run], values_of: Callable[[Run], Mapping[str, Any]]
) -> list[pl.Series]:
    held = [values_of(run) for run in runs]
    names = dict.fromkeys(name for values in held for name in values)
    return [_column(f"{kind}.{name}", [values.get(name) for values in held]) for name in names]


def _column(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds == {int} and all(abs(value or 0) <= LARGEST for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds and kinds <= {int, float}:
        numbers = [None if value is None else float(value) for value in values]
        return pl.Series(name, numbers, dtype=pl.Float64)
    texts = [value if isinstance(value, str | None) else json.dumps(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def _if_kind(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else None
