"""A run as one HTML file that opens without a network."""

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from recbench.cluster.energy import joules_per_hundredth
from recbench.files import whole_file
from recbench.jobs.children_report import children_section
from recbench.jobs.cost import told_energy
from recbench.jobs.manifest import Manifest, recorded
from recbench.jobs.notebook import read_notebook
from recbench.tracking import flat_metrics

__all__ = ["write_report"]

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# What the template would load from elsewhere: libraries, MathJax, Mermaid.
TEMPLATE_SCRIPT = re.compile(
    r'<script (?:src="">|type="text/x-mathjax-config">|type="module">(?=(?:(?!</).)*mermaid))'
    r"(?:(?!</script>).)*</script>",
    re.DOTALL,
)
STYLE = """<style>
.run-report { max-width: 60em; margin: 1em auto; padding: 0 1em; font-family: sans-serif; }
.run-report table { border-collapse: collapse; margin: 0.5em 0 1.5em; }
.run-report td { border-bottom: 1px solid #ddd; padding: 0.2em 1em 0.2em 0; vertical-align: top; }
.run-report th { text-align: left; padding-right: 1em; }
.run-report .failed { color: #b00020; }
body:not(:has(#show-code:checked)) .jp-CodeCell > .jp-Cell-inputWrapper { display: none; }
@media screen and (prefers-color-scheme: dark) { /* hues stay, as in the lab's dark theme */
  html { background: white; filter: invert(0.93) hue-rotate(180deg); }
}
</style>"""


def write_report(folder: Path) -> Path | None:
    """Write ``report.html`` from the run's notebook, manifest and metrics.

    Metrics, parameters and facts stand first; code is folded behind one check box; figures are
    embedded. Live widgets are left out: only their pictures survive without a kernel.

    Returns:
        The file; None where the run ended before its first cell.
    """
    executed = folder / "executed.ipynb"
    if not executed.exists():
        return None
    notebook = _without_widgets(read_notebook(executed))
    manifest = Manifest.read(folder)
    report = folder / "report.html"
    page = _page(notebook, title=manifest.run)
    body = page.index(">", page.index("<body")) + 1
    with whole_file(report) as draft:
        metrics = flat_metrics(recorded(folder, "metrics.json"))
        head = STYLE + _summary(manifest, metrics, children_section(folder))
        draft.write_text(page[:body] + head + page[body:], encoding="utf-8")
    return report


def _page(notebook: NotebookNode, *, title: str) -> str:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(  # type: ignore[no-untyped-call]  # nbconvert has no types
        config=Config({"CoalesceStreamsPreprocessor": {"enabled": True}}),  # one line a bar
        template_name="lab",
        embed_images=True,
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
    )
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return TEMPLATE_SCRIPT.sub("", page)


def _without_widgets(notebook: NotebookNode) -> NotebookNode:
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    return notebook


def _summary(manifest: Manifest, metrics: Mapping[str, Any], children: str) -> str:
    error = f'<p class="failed">{escape(manifest.error)}</p>' if manifest.error else ""
    return (
        '<section class="run-report">'
        f"<h1>{escape(Path(manifest.notebook).stem)}: {manifest.status}</h1>{error}"
        f"{_table('Metrics', metrics.items())}"
        f"{children}"
        f"{_table('Parameters', manifest.parameters.items())}"
        f"{_table('Run', _facts(manifest, metrics))}"
        '<label><input type="checkbox" id="show-code"> Show code</label>'
        "</section>"
    )


def _facts(manifest: Manifest, metrics: Mapping[str, Any]) -> list[tuple[str, Any]]:
    memory = manifest.peak_memory_bytes
    commit = manifest.code.get("commit") or "unknown"
    changed = ", with uncommitted changes" if manifest.code.get("is_dirty") else ""
    return [
        ("run", manifest.run),
        ("started", manifest.started_at),
        ("duration", f"{manifest.duration_s} s"),
        ("peak memory", "unknown" if memory is None else f"{memory / 2**20:.0f} MiB"),
        ("energy", _energy(manifest.energy, metrics)),
        ("CPU time", _measured(manifest.energy, "cpu_s", " s")),
        ("cost", _measured(manifest.energy, "cost", " by the tariff")),
        ("data", json.dumps(manifest.data)),
        ("releases made", ", ".join(manifest.releases) or "none"),
        ("started by", manifest.parent or "no other run"),
        ("commit", commit + changed),
        ("Python", manifest.environment.get("python")),
        ("W&B", manifest.tracking.get("wandb", "not started")),
    ]


def _measured(energy: Mapping[str, Any], name: str, unit: str) -> str:
    value = energy.get(name)
    return "unknown" if value is None else f"{value:.4g}{unit}"


def _energy(energy: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Joules of the run, and for each +0.01 NDCG over the reference where a training says it."""
    if not energy:
        return "unknown"
    each = joules_per_hundredth(energy["joules"], metrics.get("gain_known"))
    said = told_energy(energy)
    return said + ("" if each is None else f", {each:.0f} J for each +0.01 NDCG on known users")


def _table(title: str, rows: Iterable[tuple[str, Any]]) -> str:
    lines = [
        f"<tr><td>{escape(str(name))}</td><td>{escape(_shown(value))}</td></tr>"
        for name, value in rows
    ]
    return f"<h2>{title}</h2><table>{''.join(lines)}</table>" if lines else ""


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
