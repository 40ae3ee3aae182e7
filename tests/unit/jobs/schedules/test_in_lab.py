"""Schedules that JupyterLab's scheduler keeps, read from its own database."""

import json
from datetime import UTC, datetime

import pytest

from recbench.cli import main
from recbench.errors import InputError
from recbench.jobs.schedules.in_lab import lab_schedules


@pytest.fixture
def listed(tmp_path, monkeypatch, write_notebook):
    """What `recbench schedule` writes for machines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(tmp_path))
    write_notebook(tmp_path / "tiny.ipynb", "print(k)")

    def ask(*words):
        main(["schedule", *words, "--json", str(tmp_path / "told.json")])
        return json.loads((tmp_path / "told.json").read_text())

    return ask


JOBS = (("FAILED", "cell 2: KeyError: 17", 60), ("COMPLETED", "Run /runs/r-1", 0))


def test_past_jobs_come_with_their_runs_oldest_first(defined_in_lab, tmp_path):
    defined_in_lab(*JOBS)

    (found,) = lab_schedules(tmp_path / "workspace")

    assert (found.name, found.parameters, found.active) == ("often", {"k": "5"}, True)
    good, bad = found.jobs
    assert (good.status, good.folder, good.error) == ("succeeded", "/runs/r-1", None)
    assert (bad.status, bad.folder, bad.error) == ("failed", None, "cell 2: KeyError: 17")
    assert (bad.ended - bad.began).total_seconds() == 2.5


def test_definitions_without_a_clock_are_no_schedules(defined_in_lab, tmp_path):
    defined_in_lab(schedule=None)

    assert lab_schedules(tmp_path / "workspace") == []


def test_both_kinds_stand_in_one_list_with_where_they_were_made(defined_in_lab, listed, capsys):
    main(["schedule", "add", "tiny", "--every", "1h"])
    defined_in_lab(*JOBS)
    defined_in_lab(identity="9-9", name="off", active=False)

    before = datetime.now(UTC)
    rows = {row["name"]: row for row in listed("list")}

    assert {name: row["made_in"] for name, row in rows.items()} == {
        "tiny": "recbench schedule",
        "often": "JupyterLab",
        "off": "JupyterLab",
    }
    assert rows["off"]["next"] == "paused"
    assert datetime.fromisoformat(rows["often"]["next"]) > before
    assert (rows["often"]["last"], rows["often"]["status"]) == ("2026-01-01 00:01:00Z", "failed")
    assert "Those of JupyterLab run while `recbench lab` does" in capsys.readouterr().out


def test_show_tells_what_jupyterlab_says_and_ran(defined_in_lab, listed):
    defined_in_lab(*JOBS)

    told = listed("show", "often")

    assert told["schedule"]["made_in"] == "JupyterLab"
    assert told["schedule"]["times"] == {"cron": "*/5 * * * *", "timezone": "UTC"}
    assert [line["status"] for line in told["past"]] == ["succeeded", "failed"]
    assert [line["folder"] for line in told["past"]] == ["/runs/r-1", None]


def test_what_was_made_there_is_changed_there(defined_in_lab, listed, capsys):
    defined_in_lab()
    with pytest.raises(SystemExit) as leaving:
        main(["schedule", "pause", "often"])

    assert leaving.value.code == 2
    assert "`often` was made in JupyterLab" in capsys.readouterr().err


def test_of_two_with_one_name_the_id_is_asked_for(defined_in_lab, listed, capsys):
    defined_in_lab()
    defined_in_lab(identity="9-9")
    with pytest.raises(SystemExit):
        main(["schedule", "show", "often"])

    assert "name one by id: 1-1, 9-9" in capsys.readouterr().err
    assert listed("show", "9-9")["schedule"]["id"] == "9-9"


def test_a_damaged_database_is_told(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "jobs.sqlite").write_text("no database " * 100)

    with pytest.raises(InputError, match="file is not a database"):
        lab_schedules(tmp_path)
