import json

import polars as pl
import pytest

from recbench.errors import InputError
from recbench.jobs.comparison import compare_runs, comparison_frame
from recbench.jobs.manifest import Manifest
from recbench.jobs.runs import Run


@pytest.fixture
def runs(tmp_path):
    """Three runs: the dial ``k`` and a metric with bounds differ."""
    found = []
    for number, (k, ndcg) in enumerate([(10, 0.2), (20, 0.25), (20, None)], start=1):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        Manifest(
            run=folder.name,
            notebook="n",
            notebook_sha256="0",
            parameters={"k": k, "seed": 7},
            data={"tiny": 3},
            environment={"packages": {"polars": "2.1" if number < 3 else "2.2", "numpy": "2"}},
        ).write(folder)
        known = {"value": ndcg, "low": 0.15, "high": 0.3, "n_users": 90}
        metrics = {"ndcg@20": {"known": known}} if ndcg else {"gain": 0.1, "gain_low": 0.05,
                                                               "gain_high": 0.2}  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "report.html").write_text("")
        found.append(Run.read(folder))
    return found


def test_more_than_two_runs_stand_side_by_side(runs):
    frame = comparison_frame(runs)

    (k,) = frame.filter(kind="parameter").rows()
    assert k == ("parameter", "k", "10", "20", "20")
    assert frame.columns == ["kind", "name", "run-1", "run-2", "run-3"]
    assert set(frame.dtypes) == {pl.String}


def test_a_metric_with_bounds_is_one_row(runs):
    rows = comparison_frame(runs).filter(kind="metric").drop("kind").rows()

    assert rows == [
        ("ndcg@20/known", "0.2 [0.15, 0.3]", "0.25 [0.15, 0.3]", None),
        ("ndcg@20/known/n_users", "90", "90", None),
        ("gain", None, None, "0.1 [0.05, 0.2]"),
    ]


def test_what_is_equal_is_left_out_but_metrics(runs):
    names = [(each.kind, each.name) for each in compare_runs(runs[:2]) if each.kind != "link"]

    assert names == [
        ("parameter", "k"),
        *[("metric", f"ndcg@20/known/{part}") for part in ("value", "low", "high", "n_users")],
    ]


def test_everything_is_shown_on_request(runs):
    compared = compare_runs(runs, everything=True)

    held = {(each.kind, each.name): each.values for each in compared}
    assert held["parameter", "seed"] == (7, 7, 7)
    assert held["data", "tiny"] == (3, 3, 3)
    assert held["surroundings", "numpy"] == ("2", "2", "2")


def test_surroundings_that_differ_are_named(runs):
    (polars,) = [each for each in compare_runs(runs) if each.kind == "surroundings"]

    assert (polars.name, polars.values) == ("polars", ("2.1", "2.1", "2.2"))


def test_reports_are_linked(runs):
    (link,) = [each for each in compare_runs(runs) if each.kind == "link"]

    assert link.values == tuple(str(run.folder / "report.html") for run in runs)


def test_fewer_than_two_different_runs_are_refused(runs):
    for given in ([], runs[:1], [runs[0], runs[0]]):
        with pytest.raises(InputError, match=r"two or more different runs, got \["):
            compare_runs(given)
