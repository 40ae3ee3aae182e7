"""The first page as a job in a workspace that has releases: its report needs no kernel."""

from pathlib import Path

import pytest

from recbench.jobs.run import run_notebook
from recbench.refresh import Registry

START = Path(__file__).parents[2] / "notebooks" / "00_start.ipynb"


@pytest.mark.notebook
@pytest.mark.slow
def test_the_report_shows_what_the_widgets_showed(served_toy, tiny_log, tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    workspace = tmp_path / "workspace"
    registry = Registry(workspace / "registry")
    release = served_toy.seal(registry).release.manifest.release
    registry.publish(release)

    result = run_notebook(
        START, {"data": str(tiny_log)}, runs=tmp_path / "runs", workspace=workspace
    )

    page = (result.folder / "report.html").read_text()
    assert 'alt="Recency popularity alone would list' in page
    assert 'alt="What is served knows events until 2026-01-01 01:00:00 UTC"' in page
    assert page.count('class="rb-picture"') == 6
    assert "widget-view" not in page
    assert result.metrics["n_releases"] == 1
