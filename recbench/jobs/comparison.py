"""Runs side by side: parameters, metrics with intervals, data, surroundings, reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from recbench.errors import InputError
from recbench.jobs.runs import Run, surroundings

__all__ = ["Compared", "compare_runs", "comparison_frame"]

INTERVALS = (("/value", "/low", "/high"), ("", "_low", "_high"))  # how metrics name their bounds


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing, and the value it has in each run; None where a run has none."""

    kind: str  # parameter, metric, data, surroundings, link
    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """Whether any two runs differ in it."""
        return any(value != self.values[0] for value in self.values)


def compare_runs(runs: Sequence[Run], *, everything: bool = False) -> list[Compared]:
    """Every metric, and what else differs between the runs.

    Args:
        runs: two or more, in the order of the values.
        everything: what is equal, too.

    Raises:
        InputError: fewer than two runs, or one of them twice.
    """
    names = [run.folder.name for run in runs]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(f"Give two or more different runs, got {names}")
    manifests = [run.manifest for run in runs]
    sections: dict[str, list[Mapping[str, Any]]] = {
        "parameter": [manifest.parameters if manifest else {} for manifest in manifests],
        "metric": [run.metrics for run in runs],
        "data": [run.data for run in runs],
        "surroundings": [surroundings(manifest) if manifest else {} for manifest in manifests],
        "link": [_links(run) for run in runs],
    }
    compared = [
        Compared(kind, name, tuple(values.get(name) for values in section))
        for kind, section in sections.items()
        for name in dict.fromkeys(name for values in section for name in values)
    ]
    return [each for each in compared if everything or each.differs or each.kind == "metric"]


def comparison_frame(runs: Sequence[Run], *, everything: bool = False) -> pl.DataFrame:
    """``compare_runs`` as a table to read: ``kind``, ``name`` and one column of text a run.

    A metric that comes with bounds is one row, ``0.2508 [0.2028, 0.3018]``; for numbers to reckon
    with, see ``recbench.runs``. Empty where a run has no such thing.

    Raises:
        InputError: as ``compare_runs``.
    """
    compared = compare_runs(runs, everything=everything)
    shown = [each for each in compared if each.kind != "metric"]
    metrics = _with_intervals([each for each in compared if each.kind == "metric"])
    at = next((row for row, each in enumerate(shown) if each.kind != "parameter"), len(shown))
    rows = [
        (each.kind, each.name, *map(_text, each.values))
        for each in [*shown[:at], *metrics, *shown[at:]]
    ]
    columns = ["kind", "name", *(run.folder.name for run in runs)]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _links(run: Run) -> dict[str, str]:
    found = {
        "report": run.folder / "report.html",
        "W&B": next(iter(sorted(run.folder.glob("wandb/*run-*"))), run.folder / "wandb"),
    }
    return {name: str(path) for name, path in found.items() if path.exists()}


def _with_intervals(metrics: Sequence[Compared]) -> list[Compared]:
    """Metrics whose bounds are there take them in, and bounds have no rows of their own."""
    by_name = {each.name: each for each in metrics}
    folded: dict[str, Compared] = {}
    bounds: set[str] = set()
    for name in by_name:
        for value, low, high in INTERVALS:
            stem = name.removesuffix(value)
            if name.endswith(value) and {stem + low, stem + high} <= by_name.keys():
                parts = [by_name[part].values for part in (name, stem + low, stem + high)]
                texts = tuple(map(_interval, *parts))
                folded[name] = Compared("metric", stem, texts)
                bounds |= {stem + low, stem + high}
    return [folded.get(name, each) for name, each in by_name.items() if name not in bounds]


def _interval(value: Any, low: Any, high: Any) -> str | None:
    if value is None or low is None or high is None:
        return _text(value)
    return f"{_text(value)} [{_text(low)}, {_text(high)}]"


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else str(value)
