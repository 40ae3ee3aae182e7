"""`recbench sweep`: what it asks for, and one sweep from beginning to end."""

import json

import polars as pl
import pytest

from recbench.cli import main
from recbench.cli.sweep import _parameters
from recbench.jobs.manifest import Manifest
from recbench.jobs.runs import list_runs
from recbench.settings import notebooks_path

ASKED = {
    "metric": "square",
    "goal": None,
    "method": None,
    "trials": None,
    "at_once": 1,
    "seed": 0,
}
RECORD = """from recbench import tracking
assert k != 4
tracking.log_summary({"square": k * k}, data={"tiny": 3})"""


@pytest.fixture
def place(tmp_path, write_notebook, monkeypatch):
    """A folder with a notebook to sweep, and the one that sweeps."""
    parent = (notebooks_path() / "13_sweep.ipynb").read_text()
    monkeypatch.chdir(tmp_path)
    for name in ("RECBENCH_RUN_DIR", "RECBENCH_RUNS", "RECBENCH_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(folder))
    monkeypatch.setenv("RECBENCH_TRACKING", "off")
    (folder / "13_sweep.ipynb").write_text(parent)
    write_notebook(folder / "swept.ipynb", RECORD, parameters="k = 3\nrate = 0.5\ndata = 'd'")
    return tmp_path


def refused(capsys, *words):
    with pytest.raises(SystemExit) as leaving:
        main(["sweep", *words])
    assert leaving.value.code == 2
    return capsys.readouterr().err


def test_texts_become_wandbs_words(place):
    swept = ("k=2,4", "rate=log:0.01..1")

    told = _parameters("swept", None, swept, ("data=x",), ASKED)

    assert told["space"] == {
        "data": {"value": "x"},
        "k": {"values": [2, 4]},
        "rate": {"min": 0.01, "max": 1.0, "distribution": "log_uniform_values"},
    }
    assert (told["method"], told["goal"], told["n_trials"]) == ("bayes", "maximize", 20)
    assert told["notebook"] == str(place / "notebooks" / "swept.ipynb")


def test_a_configuration_of_wandbs_is_read_and_options_go_on_top(place):
    config = place / "sweep.yaml"
    config.write_text(
        "program: swept\nmethod: grid\nmetric: {name: loss, goal: minimize}\nrun_cap: 7\n"
        "parameters:\n  k: {values: [1, 2]}\n  rate: {value: 0.25}\n"
    )

    told = _parameters(None, config, ("k=1,2,3",), (), ASKED | {"metric": None, "trials": 2})

    assert told["space"] == {"k": {"values": [1, 2, 3]}, "rate": {"value": 0.25}}
    assert (told["metric"], told["goal"], told["method"]) == ("loss", "minimize", "grid")
    assert told["n_trials"] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("program: swept\nearly_terminate: {type: hyperband}", "has ['early_terminate', 'prog"),
        ("- a", "has ['a']; a sweep knows"),
        ("a: [", "is not YAML"),
        ("parameters: [k]", "`parameters` of "),
    ],
)
def test_a_configuration_that_would_not_be_heeded_is_refused(place, capsys, content, said):
    (place / "sweep.yaml").write_text(content)

    assert said in refused(capsys, "swept", "--config", "sweep.yaml", "--metric", "square")


def test_without_a_metric_those_of_the_last_run_are_named(place, capsys):
    assert "it has not run yet" in refused(capsys, "swept", "-s", "k=1,2")
    folder = place / "papermill_runs" / "20260101T000000Z-swept-111111"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"square": 4, "name": "x"}))

    assert "its last run recorded square\n" in refused(capsys, "swept", "-s", "k=1,2")


def test_what_cannot_be_swept_is_refused_before_anything_runs(place, capsys):
    for words, said in (
        (("swept", "-s", "kk=1,2"), "no parameter `kk`"),
        (("swept", "-s", "k=one,2"), "`k` cannot be 'one'"),
        (("swept", "-s", "k"), "write `-s name=a,b,c`"),
        ((), "Name the NOTEBOOK to sweep"),
        (("swept", "--resume", "x"), "--resume goes on with"),
    ):
        assert said in refused(capsys, *words, "--metric", "square")
    assert not (place / "papermill_runs").exists()


def test_trials_are_jobs_of_one_group_and_end_in_one_table(place, capsys):
    words = ["sweep", "swept", "-s", "k=4,5", "--method", "grid", "--metric", "square"]
    words += ["--at-once", "2", "-p", "rate=0.25"]

    main([*words, "--json", "told.json"])

    out = capsys.readouterr().out
    told = json.loads((place / "told.json").read_text())
    assert told["metrics"]["best"]["k"] == 5
    assert (told["metrics"]["square"], told["metrics"]["n_failed"]) == (25.0, 1)
    run = told["metrics"]["best"]["run"]
    assert f"Best: square 25, run {run}" in out
    assert "recbench run swept -p rate=0.25 -p k=5" in out
    runs = {found.folder.name: found for found in list_runs(place / "papermill_runs")}
    assert len(runs) == 3
    parent = next(found for found in runs.values() if found.notebook == "13_sweep")
    assert {found.manifest.group for found in runs.values()} == {parent.folder.name}
    assert runs[run].manifest.parameters == {"k": 5, "rate": 0.25, "data": "d"}
    trials = pl.read_parquet(parent.folder / "tables" / "trials.parquet")
    assert trials["state"].to_list() == ["complete", "failed"]
    page = (parent.folder / "report.html").read_text()
    assert "trial 0: " in page
    assert "AssertionError" in page
    assert Manifest.read(parent.folder).data == {"tiny": 3}
