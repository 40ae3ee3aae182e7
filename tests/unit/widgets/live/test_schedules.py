"""Schedules of both kinds are told in the lab, with next and past runs."""

import fcntl
from datetime import UTC, datetime, timedelta

import pytest

from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.store import ScheduleStore
from recbench.jobs.schedules.times import Every
from recbench.widgets.live import schedule_panel

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path):
    return tmp_path / "workspace"


@pytest.fixture
def store(workspace, tmp_path):
    """A schedule of `recbench schedule`, which failed once and then was paused."""
    store = ScheduleStore.of(workspace)
    refresh = Schedule(
        name="refresh",
        notebook="n.ipynb",
        times=Every(900),
        directory=str(tmp_path),
        runs=str(tmp_path / "runs"),
        created_at=NOON,
    )
    store.add(refresh)
    due = NOON + timedelta(minutes=15)
    with store.change("refresh") as state:
        assert state.claim(refresh, due, 1, due)
        later = due + timedelta(seconds=2)
        state.end(refresh, due, status="failed", error="KeyError: 17", now=later)
    store.pause("refresh")
    return store


def test_schedules_of_both_kinds_are_told_with_their_next_time(workspace, store, defined_in_lab):
    defined_in_lab(("COMPLETED", "Run /runs/r-1", 0))
    panel = schedule_panel(workspace)
    assert panel.dials["name"].options == ("every schedule", "refresh", "often")
    for told in ("paused", "failed", "often", "/runs/r-1", "Nobody carries those of recbench"):
        assert told in panel.below.value
    assert "Those of JupyterLab run while this lab does" in panel.below.value


def test_who_carries_schedules_out_is_not_asked_for(workspace, store):
    with store.runner_lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "Nobody carries" not in schedule_panel(workspace).below.value


def test_one_schedule_tells_what_it_says_and_its_past_runs(workspace, store, defined_in_lab):
    defined_in_lab(("COMPLETED", "Run /runs/r-1", 0))
    panel = schedule_panel(workspace)
    panel.dials["name"].value = "refresh"
    for told in ("n.ipynb", "2026-01-01 12:15:00Z", "KeyError: 17", "Past runs"):
        assert told in panel.below.value
    panel.dials["name"].value = "often"
    assert "*/5 * * * *" in panel.below.value
    assert "/runs/r-1" in panel.below.value


def test_looking_again_finds_what_was_added_and_removed_meanwhile(workspace, store):
    panel = schedule_panel(workspace)
    panel.dials["name"].value = "refresh"
    store.remove("refresh")
    (again,) = panel.children[0].children[1:]
    again.click()
    assert panel.dials["name"].options == ("every schedule",)
    assert "There are no schedules" in panel.below.value


def test_a_damaged_database_is_told(workspace):
    (workspace / "lab").mkdir(parents=True)
    (workspace / "lab" / "jobs.sqlite").write_text("no database " * 100)
    assert "file is not a database" in schedule_panel(workspace).below.value
