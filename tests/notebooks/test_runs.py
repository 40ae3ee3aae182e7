"""Every notebook runs from beginning to end as a job."""

import json
import re

import pytest

from recbench.jobs.run import notebook_parameters, run_notebook

# What makes each notebook quick; all of them read the tiny log.
SMALL = {
    "max_steps": 4,
    "n_windows": 2,
    "share": 0.04,
    "batch_size": 32,
    "embedding_dim": 8,
    "k": 5,
    "n_trials": 1,
    "turns": 1,
    "costs": [0.3],
    "lasting": [0.3],
    "load_s": 0.3,
    "swaps": 2,
    "every_s": 0.7,
    "n_days": 2,
    "peak_workers": 3.0,
}
ALSO = {
    "12_gate": {"n_windows": 10},
    "10_search": {"n_trials": 2},
    "09_policy": {"n_users": 30, "n_live": 40, "requests": 20.0, "tick_s": 7200.0},
}


@pytest.mark.notebook
def test_it_runs_on_tiny_data_and_records_numbers(notebook, tiny_log, tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.chdir(tmp_path)
    declared = notebook_parameters(notebook)
    wanted = {"data": str(tiny_log), **SMALL, **ALSO.get(notebook.stem, {})}
    parameters = {name: value for name, value in wanted.items() if name in declared}

    result = run_notebook(
        notebook, parameters, runs=tmp_path / "runs", workspace=tmp_path / "workspace"
    )

    assert result.status == "succeeded"
    assert result.metrics
    manifest = json.loads((result.folder / "manifest.json").read_text())
    if "data" in declared:
        assert manifest["parameters"]["data"] == str(tiny_log)
    assert manifest["data"]
    page = (result.folder / "report.html").read_text()
    shown = re.findall(r'<img[^>]*src="data:image/png;base64,', page)
    assert len(shown) >= len(list((result.folder / "figures").glob("*.png"))) > 0
