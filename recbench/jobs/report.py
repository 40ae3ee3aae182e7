"""A run's notebook as one HTML file that opens without a network, its summary first."""

import html
import json
import re
from pathlib import Path
from typing import Any

from recbench.files import whole_file
from recbench.jobs.manifest import RunManifest

__all__ = ["read_metrics", "write_report"]

WIDGETS = "application/vnd.jupyter.widget-view+json"
REMOTE_SCRIPT = re.compile(r"<script[^>]*(?:src=\"https?:|type=\"module\")[^>]*>.*?</script>", re.S)
STYLE = (
    "<style>.rb-summary{font:14px system-ui,sans-serif;margin:24px auto;max-width:960px}"
    ".rb-summary table{border-collapse:collapse;margin:8px 0 16px}"
    ".rb-summary td,.rb-summary th{border-bottom:1px solid #ccc;padding:3px 14px 3px 0;"
    "text-align:left;vertical-align:top}.rb-failed{color:#a40000}</style>"
)


def read_metrics(folder: Path) -> dict[str, Any]:
    """The run's ``metrics.json``; empty where the run did not get that far."""
    path = folder / "metrics.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_report(folder: Path) -> dict[str, Any]:
    """Write ``report.html`` beside the executed notebook. Returns the run's metrics."""
    import nbformat
    from nbconvert import HTMLExporter

    notebook = nbformat.read(folder / "executed.ipynb", as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        kept = [o for o in cell.get("outputs", []) if WIDGETS not in o.get("data", {})]
        if cell.cell_type == "code":
            cell.outputs = kept
    exporter = HTMLExporter(
        template_name="lab",
        exclude_input=True,
        embed_images=True,
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
    )
    body, _ = exporter.from_notebook_node(notebook)
    body = REMOTE_SCRIPT.sub("", body)
    metrics = read_metrics(folder)
    summary = _summary(RunManifest(folder).read(), metrics)
    opening = re.search(r"<body[^>]*>", body)
    at = opening.end() if opening else 0
    with whole_file(folder / "report.html") as draft:
        draft.write_text(body[:at] + STYLE + summary + body[at:], encoding="utf-8")
    return metrics


def _summary(manifest: dict[str, Any], metrics: dict[str, Any]) -> str:
    status = manifest["status"]
    facts = {
        "status": status,
        "started": manifest["started"],
        "ended": manifest["ended"],
        "data": ", ".join(f"{k} version {v}" for k, v in manifest.get("data", {}).items()),
        "commit": manifest["environment"]["commit"],
        "error": manifest["error"],
    }
    tables = [
        ("Result", metrics),
        ("Run", {name: value for name, value in facts.items() if value}),
        ("Parameters", manifest["parameters"]),
    ]
    rows = "".join(f"<h3>{title}</h3>{_table(values)}" for title, values in tables if values)
    mark = "" if status in {"succeeded", "running"} else ' class="rb-failed"'
    return (
        f'<div class="rb-summary"><h1{mark}>{html.escape(manifest["notebook"])}: {status}</h1>'
        f"{rows}</div>"
    )


def _table(values: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(_shown(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
