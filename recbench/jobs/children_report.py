"""A job's children in its report: what became of each, and what it recorded, in the one file."""

import base64
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from recbench.jobs.children_record import ChildrenRecord
from recbench.jobs.manifest import Manifest, recorded
from recbench.tracking import flat_metrics

__all__ = ["children_section"]

MAX_FIGURES_OF = 12  # children; a sweep's trials have their own reports
SHOWN_ROWS = 30  # of a table
SHOWN_METRICS = 40


def children_section(folder: Path) -> str:
    """HTML: a row for each run that the one in ``folder`` started, unfolded by a click.

    Empty without children. Links lead to the children's own reports, beside this one's folder.
    """
    children = ChildrenRecord(folder).children()
    if not children:
        return ""
    with_figures = len(children) <= MAX_FIGURES_OF
    parts = [
        _child(name, folder.parent / each.run, with_figures=with_figures)
        for name, each in children.items()
    ]
    return f"<h2>Runs started from here</h2>{''.join(parts)}"


def _child(name: str, folder: Path, *, with_figures: bool) -> str:
    if not (folder / "manifest.json").exists():
        return f"<p>{escape(name)}: {escape(folder.name)} has gone</p>"
    manifest = Manifest.read(folder)
    status = manifest.state()
    seconds = "" if manifest.duration_s is None else f", {manifest.duration_s:.0f} s"
    link = f'<a href="../{escape(folder.name, quote=True)}/report.html">{escape(folder.name)}</a>'
    error = f'<p class="failed">{escape(manifest.error)}</p>' if manifest.error else ""
    is_open = "" if status == "succeeded" else " open"
    return (
        f"<details{is_open}><summary>{escape(name)}: {status}{seconds}; {link}</summary>{error}"
        f"{_metrics(folder)}{_tables(folder)}{_figures(folder) if with_figures else ''}</details>"
    )


def _metrics(folder: Path) -> str:
    found = list(flat_metrics(recorded(folder, "metrics.json")).items())[:SHOWN_METRICS]
    return _rows([], [[name, value] for name, value in found]) if found else ""


def _tables(folder: Path) -> str:
    found = [(path.stem, pl.read_parquet(path)) for path in _files(folder / "tables", "parquet")]
    return "".join(
        f"<p>{escape(name)}{_more(frame)}</p>{_rows(frame.columns, frame.head(SHOWN_ROWS).rows())}"
        for name, frame in found
    )


def _more(frame: pl.DataFrame) -> str:
    return f", the first {SHOWN_ROWS} of {len(frame)} rows" if len(frame) > SHOWN_ROWS else ""


def _figures(folder: Path) -> str:
    return "".join(
        f'<p><img alt="{escape(path.stem, quote=True)}" style="max-width: 100%" '
        f'src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"></p>'
        for path in _files(folder / "figures", "png")
    )


def _files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*.{suffix}"))


def _rows(columns: list[str], rows: list[Any]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = ["".join(f"<td>{escape(_shown(value))}</td>" for value in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
