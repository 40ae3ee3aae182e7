import json

import pytest

from recbench.errors import InputError
from recbench.jobs.manifest import Manifest
from recbench.jobs.runs import (
    Run,
    environment_differences,
    find_notebook,
    find_run,
    list_runs,
)


@pytest.fixture
def runs(tmp_path):
    for name, status in [
        ("20260101T000000Z-a-111111", "failed"),
        ("20260102T000000Z-b-222222", "succeeded"),
    ]:
        (tmp_path / name).mkdir()
        fields = {"notebook": "n", "notebook_sha256": "0", "parameters": {}, "status": status}
        Manifest(run=name, **fields).write(tmp_path / name)
    interactive = tmp_path / "20260103T000000Z-interactive-333333"
    interactive.mkdir()
    (interactive / "metrics.json").write_text(json.dumps({"ndcg": {"known": 0.5}}))
    (tmp_path / "something else").mkdir()
    return tmp_path


def test_runs_are_listed_oldest_first_and_other_folders_passed_over(runs):
    assert [run.status for run in list_runs(runs)] == ["failed", "succeeded", "interactive"]


def test_no_folder_means_no_runs(tmp_path):
    assert list_runs(tmp_path / "none") == []


def test_metrics_are_read_flat(runs):
    assert list_runs(runs)[-1].metrics == {"ndcg/known": 0.5}


@pytest.mark.parametrize("name", ["20260102T000000Z-b-222222", "b-222222", "222222"])
def test_a_run_is_found_by_name_or_id(runs, name):
    assert find_run(name, runs) == runs / "20260102T000000Z-b-222222"


def test_a_run_is_found_by_its_folder(runs, tmp_path):
    folder = runs / "20260102T000000Z-b-222222"

    assert find_run(str(folder), tmp_path / "elsewhere") == folder


def test_an_unknown_run_is_refused_with_the_closest(runs):
    with pytest.raises(
        InputError, match=r"no run `20260102T000000Z-b-22222x`.*mean `2026.*222222`"
    ):
        find_run("20260102T000000Z-b-22222x", runs)


def test_an_empty_name_means_no_run(runs):
    with pytest.raises(InputError, match="There is no run ``"):
        find_run("", runs)


def test_an_ambiguous_name_is_refused(runs):
    (runs / "x-222222").mkdir()
    (runs / "x-222222" / "metrics.json").write_text("{}")

    with pytest.raises(InputError, match="`222222` means 2 runs"):
        find_run("222222", runs)


def test_a_folder_that_is_no_run_is_refused(runs):
    with pytest.raises(InputError, match="`.*something else` is not a run"):
        Run.read(runs / "something else")


def test_a_notebook_is_found_by_name_file_and_path(tmp_path, monkeypatch):
    (tmp_path / "01_explore.ipynb").touch()
    monkeypatch.chdir(tmp_path)

    for name in ("01_explore", "01_explore.ipynb", str(tmp_path / "01_explore.ipynb")):
        assert find_notebook(name, tmp_path).resolve() == tmp_path / "01_explore.ipynb"


def test_an_unknown_notebook_is_refused_with_the_closest_and_all(tmp_path):
    (tmp_path / "01_explore.ipynb").touch()

    with pytest.raises(
        InputError, match=r"no notebook `01_exlore`. Did you mean `01_explore`\? .* has"
    ):
        find_notebook("01_exlore", tmp_path)


def test_surroundings_that_differ_are_named():
    fields = {"run": "r", "notebook": "n", "parameters": {}}
    before = Manifest(
        **fields,
        notebook_sha256="aa",
        code={"commit": "c1"},
        environment={"python": "3.11.7", "packages": {"polars": "2.0.0", "old": "1"}},
    )
    after = Manifest(
        **fields,
        notebook_sha256="aa",
        code={"commit": "c2"},
        environment={"python": "3.11.7", "packages": {"polars": "2.1.0"}},
    )

    assert environment_differences(before, after) == [
        ("commit", "c1", "c2"),
        ("polars", "2.0.0", "2.1.0"),
        ("old", "1", None),
    ]
