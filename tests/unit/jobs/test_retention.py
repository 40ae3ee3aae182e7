import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from recbench.errors import InputError
from recbench.jobs import retention
from recbench.jobs.manifest import Manifest, process_facts
from recbench.jobs.retention import plan_pruning, remove_runs

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def add(tmp_path):
    """Adds a run of ``notebook`` that began on a day of January; returns its folder."""

    def add(notebook, day, *, metrics=None, **fields):
        folder = tmp_path / f"202601{day:02}T000000Z-{notebook}-{day:06}"
        folder.mkdir()
        described = {
            "notebook": f"/n/{notebook}.ipynb",
            "notebook_sha256": "0",
            "parameters": {},
            "status": "succeeded",
            "started_at": f"2026-01-{day:02}T00:00:00+00:00",
        }
        Manifest(run=folder.name, **described | fields).write(folder)
        if metrics is not None:
            (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return add


def plan(tmp_path, **options):
    return plan_pruning(tmp_path, **{"kept_releases": {}, "now": NOW} | options)


def test_the_newest_of_each_notebook_stay(tmp_path, add):
    train = [add("train", day) for day in (1, 2, 3)]
    serve = [add("serve", day) for day in (4, 5)]

    assert list(plan(tmp_path, keep=2).gone) == train[:1]
    assert list(plan(tmp_path, keep=1).gone) == [*train[:2], *serve[:1]]
    assert list(plan(tmp_path, keep=7).gone) == []
    assert list(plan(tmp_path, keep=0).gone) == [*train, *serve]


def test_older_than_an_age_go(tmp_path, add):
    old, _ = add("train", 1), add("train", 30)

    assert list(plan(tmp_path, older_than=timedelta(days=45)).gone) == [old]


def test_number_and_age_together_remove_what_is_beyond_both(tmp_path, add):
    first, _, _ = (add("train", day) for day in (1, 20, 30))

    assert list(plan(tmp_path, keep=1, older_than=timedelta(days=45)).gone) == [first]


def test_one_notebook_alone_can_be_pruned(tmp_path, add):
    add("train", 1)
    serve = add("serve", 2)

    assert list(plan(tmp_path, keep=0, notebook="serve").gone) == [serve]


def test_sizes_are_those_of_the_files(tmp_path, add):
    folder = add("train", 1)
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_bytes(b"x" * 1000)
    manifest = (folder / "manifest.json").stat().st_size

    pruning = plan(tmp_path, keep=0)

    assert pruning.gone == {folder: 1000 + manifest}
    assert pruning.n_bytes == 1000 + manifest


def test_a_running_run_stays(tmp_path, add):
    running = add("train", 1, status="running", process=process_facts())
    killed = add("train", 2, status="running", process=process_facts() | {"started": 0.0})

    pruning = plan(tmp_path, keep=0)

    assert pruning.spared == {running: "it is running"}
    assert list(pruning.gone) == [killed]


@pytest.mark.parametrize(
    "told",
    [
        {"fields": {}, "kept": {"r1": "20260101T000000Z-train-000001"}},  # the release's word
        {"fields": {"releases": {"r1": "/nowhere/r1"}}, "kept": {"r1": None}},  # the run's own
        {"fields": {"metrics": {"release": "r1"}}, "kept": {"r1": None}},  # of before both said so
        {"fields": {"metrics": {"refresh": {"release": "r1"}}}, "kept": {"r1": None}},
    ],
)
def test_the_run_behind_a_kept_release_stays(tmp_path, add, told):
    made, other = add("train", 1, **told["fields"]), add("train", 2)

    pruning = plan(tmp_path, keep=0, kept_releases=told["kept"])

    assert pruning.spared == {made: "release r1 is kept"}
    assert list(pruning.gone) == [other]


def test_a_run_whose_release_is_gone_may_go(tmp_path, add):
    made = add("train", 1, releases={"r1": str(tmp_path / "registry" / "r1")})

    assert list(plan(tmp_path, keep=0).gone) == [made]


def test_a_release_in_another_workspace_keeps_its_run(tmp_path, add):
    release = tmp_path / "elsewhere" / "registry" / "r1"
    release.mkdir(parents=True)
    (release / "manifest.json").write_text("{}")
    made = add("train", 1, releases={"r1": str(release)})

    assert plan(tmp_path, keep=0).spared == {made: f"release r1 is kept in {release.parent}"}


def test_the_parents_of_a_run_that_stays_stay(tmp_path, add):
    top = add("pipeline", 1)
    middle = add("train", 2, parent=top.name)
    child = add("export", 3, parent=middle.name)
    stranger = add("other", 4, parent="a run that is not there")

    pruning = plan(tmp_path, keep=0, kept_releases={"r1": child.name})

    assert pruning.spared == {
        child: "release r1 is kept",
        middle: f"it is the parent of {child.name}",
        top: f"it is the parent of {middle.name}",
    }
    assert list(pruning.gone) == [stranger]


def test_a_lab_session_stays_until_it_was_left_alone_for_a_day(tmp_path):
    folder = tmp_path / "20260101T000000Z-interactive-111111"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("{}\n")
    changed = datetime.fromtimestamp(folder.stat().st_mtime, tz=UTC)

    soon = plan(tmp_path, keep=0, now=changed + timedelta(hours=23))
    later = plan(tmp_path, keep=0, now=changed + timedelta(hours=25))

    assert soon.spared == {folder: "it is interactive and has changed within a day"}
    assert list(later.gone) == [folder]


def test_a_damaged_run_goes_by_what_its_folder_is_called(tmp_path, add):
    folder = add("train", 1)
    (folder / "manifest.json").write_text("{")
    for path in (folder, folder / "manifest.json"):
        os.utime(path, (0, 0))
    add("train", 2)

    assert list(plan(tmp_path, keep=1).gone) == [folder]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Say which runs may go"),
        ({"keep": -1}, "`keep` must not be negative, got -1"),
        ({"older_than": timedelta(days=-1)}, "`older_than` must not be negative, got -1 day"),
    ],
)
def test_without_a_sensible_rule_nothing_is_planned(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        plan(tmp_path, **options)


def test_removed_is_what_was_planned(tmp_path, add):
    old, new = add("train", 1), add("train", 2)

    assert remove_runs(plan(tmp_path, keep=1), runs=tmp_path) == [old]

    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [new]


def test_a_run_that_runs_again_by_now_is_passed_over(tmp_path, add):
    folder = add("train", 1)
    planned = plan(tmp_path, keep=0)
    manifest = Manifest.read(folder)
    manifest.status, manifest.process = "running", process_facts()
    manifest.write(folder)

    assert remove_runs(planned, runs=tmp_path) == []
    assert folder.is_dir()


def test_a_crash_in_mid_removal_leaves_whole_runs_or_none_and_the_next_call_ends_it(
    tmp_path, add, monkeypatch
):
    first, second = add("train", 1), add("train", 2)
    planned = plan(tmp_path, keep=0)

    def crash(path, **_):
        (path / "manifest.json").unlink()  # half-way through
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retention.shutil, "rmtree", crash)
        with pytest.raises(KeyboardInterrupt):
            remove_runs(planned, runs=tmp_path)
    assert plan(tmp_path, keep=0).gone == {}  # neither is listed any more

    remove_runs(plan(tmp_path, keep=0), runs=tmp_path)

    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert not first.exists()
    assert not second.exists()
