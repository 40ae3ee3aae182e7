"""Every notebook runs from beginning to end as a job."""

import json
import re
from pathlib import Path

import pytest

from recbench.jobs.run import notebook_parameters, run_notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
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
    "steps": 4,
    "costs": [0.3],
    "lasting": [0.3],
    "load_s": 0.3,
    "swaps": 2,
    "every_s": 2.0,
    "offered_per_s": 100.0,  # leaves time to lay out releases, beside other tests
    "sizes": "200",
    "n_days": 2,
    "peak_workers": 3.0,
    "seeds": [0],
    "n_ranking_cuts": 2,
}
ALSO = {
    "04_benchmark": {"encoders": ["transformer", "deepseek"]},
    "12_gate": {"n_windows": 10},
    "10_search": {"n_trials": 2},
    "13_sweep": {
        "notebook": str(NOTEBOOKS / "01_explore_events.ipynb"),
        "space": {"n_periods": {"values": [3, 4]}},
        "metric": "top_k_kept_mean",
    },
    "14_world": {
        "n_users": 60,
        "n_live": 80,
        "requests": 8.0,
        "n_days": 0.25,
        "n_seeds": 2,
        "taste_hours": [4.0, 8.0],
        "item_hours": [4.0, 8.0],
    },
    "07_freshness": {"cadences": ["never", "1d", "6h"], "models": ["ours", "counters"]},
    "09_policy": {"n_users": 30, "n_live": 40, "requests": 20.0, "tick_s": 7200.0},
}


# What a notebook runs as jobs of their own: its test is theirs.
CHILDREN = {
    "00_pipeline": {"03_train_two_tower", "05_incremental_refresh"},
    "04_benchmark": {"04_benchmark_cut"},
    "13_sweep": {"01_explore_events"},
}
ALONE = [
    path
    for path in sorted(NOTEBOOKS.glob("*.ipynb"))
    if path.stem not in set().union(*CHILDREN.values())
]


@pytest.mark.notebook
@pytest.mark.parametrize("path", ALONE, ids=[path.stem for path in ALONE])
def test_it_runs_on_tiny_data_and_records_numbers(path, tiny_log, tmp_path, monkeypatch):
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(NOTEBOOKS))
    monkeypatch.chdir(tmp_path)
    declared = notebook_parameters(path)
    wanted = {"data": str(tiny_log), **SMALL, **ALSO.get(path.stem, {})}
    parameters = {name: value for name, value in wanted.items() if name in declared}

    result = run_notebook(
        path, parameters, runs=tmp_path / "runs", workspace=tmp_path / "workspace"
    )

    assert result.status == "succeeded"
    require_record(result.folder, tiny_log if "data" in declared else None)
    if path.stem in CHILDREN:
        require_children(result.folder, CHILDREN[path.stem], tiny_log)
    if path.stem == "00_pipeline":
        assert result.metrics["refresh/decision"]


def require_children(folder, notebooks, data):
    """Of all those notebooks, each with its record."""
    children = json.loads((folder / "children.json").read_text())
    runs = [folder.parent / child["run"] for child in children.values()]
    ran = {json.loads((run / "manifest.json").read_text())["notebook"] for run in runs}
    assert {Path(name).stem for name in ran} == notebooks
    for run in runs:
        require_record(run, data)


def require_record(folder, data):
    """Of a run on the data; None for a notebook that makes its own."""
    assert json.loads((folder / "metrics.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "succeeded"
    if data is not None:
        assert manifest["parameters"]["data"] == str(data)
    assert manifest["data"]
    page = (folder / "report.html").read_text()
    shown = re.findall(r'<img[^>]*src="data:image/png;base64,', page)
    assert len(shown) >= len(list((folder / "figures").glob("*.png"))) > 0
