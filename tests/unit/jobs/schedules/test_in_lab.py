"""Schedules that JupyterLab's scheduler keeps, read from its own database."""

import json
from datetime import UTC, datetime

import pytest

from recbench.cli import main
from recbench.errors import InputError
from recbench.jobs.schedules.in_lab import lab_schedules

pytest.importorskip("jupyter_scheduler", reason="needs the extra `lab`")
ID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def session(tmp_path):
    """What JupyterLab's scheduler itself writes with, into the workspace's database."""
    from jupyter_scheduler.orm import create_session, create_tables

    (tmp_path / "workspace" / "lab").mkdir(parents=True)
    url = f"sqlite:///{tmp_path / 'workspace' / 'lab' / 'jobs.sqlite'}"
    create_tables(url)
    return create_session(url)


@pytest.fixture
def defined(session):
    """Keeps a definition, and jobs of it by status, message and seconds after 2026 began."""
    from jupyter_scheduler.orm import Job, JobDefinition

    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    common = {"runtime_environment_name": "recbench", "input_filename": "tiny.ipynb"}

    def define(*jobs, identity=ID, name="often", schedule="*/5 * * * *", **fields):
        fields = common | {"timezone": "UTC", "parameters": {"k": "5"}} | fields
        with session() as open_one:
            open_one.add(
                JobDefinition(job_definition_id=identity, name=name, schedule=schedule, **fields)
            )
            for status, message, second in jobs:
                at = begin + 1000 * second
                times = {"create_time": at, "start_time": at, "end_time": at + 2500}
                values = {"status": status, "status_message": message, **common, **times}
                open_one.add(Job(job_definition_id=identity, **values))
            open_one.commit()

    return define


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


def test_past_jobs_come_with_their_runs_oldest_first(defined, tmp_path):
    defined(*JOBS)

    (found,) = lab_schedules(tmp_path / "workspace")

    assert (found.name, found.parameters, found.active) == ("often", {"k": "5"}, True)
    good, bad = found.jobs
    assert (good.status, good.folder, good.error) == ("succeeded", "/runs/r-1", None)
    assert (bad.status, bad.folder, bad.error) == ("failed", None, "cell 2: KeyError: 17")
    assert (bad.ended - bad.began).total_seconds() == 2.5


def test_definitions_without_a_clock_are_no_schedules(defined, tmp_path):
    defined(schedule=None)

    assert lab_schedules(tmp_path / "workspace") == []


def test_both_kinds_stand_in_one_list_with_where_they_were_made(defined, listed, capsys):
    main(["schedule", "add", "tiny", "--every", "1h"])
    defined(*JOBS)
    defined(identity="9-9", name="off", active=False)

    rows = {row["name"]: row for row in listed("list")}

    assert {name: row["made_in"] for name, row in rows.items()} == {
        "tiny": "recbench schedule",
        "often": "JupyterLab",
        "off": "JupyterLab",
    }
    assert rows["off"]["next"] == "paused"
    assert datetime.fromisoformat(rows["often"]["next"]) > datetime.now(UTC)
    assert (rows["often"]["last"], rows["often"]["status"]) == ("2026-01-01 00:01:00Z", "failed")
    assert "Those of JupyterLab run while `recbench lab` does" in capsys.readouterr().out


def test_show_tells_what_jupyterlab_says_and_ran(defined, listed):
    defined(*JOBS)

    told = listed("show", "often")

    assert told["schedule"]["made_in"] == "JupyterLab"
    assert told["schedule"]["times"] == {"cron": "*/5 * * * *", "timezone": "UTC"}
    assert [line["status"] for line in told["past"]] == ["succeeded", "failed"]
    assert [line["folder"] for line in told["past"]] == ["/runs/r-1", None]


def test_what_was_made_there_is_changed_there(defined, listed, capsys):
    defined()
    with pytest.raises(SystemExit) as leaving:
        main(["schedule", "pause", "often"])

    assert leaving.value.code == 2
    assert "`often` was made in JupyterLab" in capsys.readouterr().err


def test_of_two_with_one_name_the_id_is_asked_for(defined, listed, capsys):
    defined()
    defined(identity="9-9")
    with pytest.raises(SystemExit):
        main(["schedule", "show", "often"])

    assert f"name one by id: {ID}, 9-9" in capsys.readouterr().err
    assert listed("show", "9-9")["schedule"]["id"] == "9-9"


def test_a_damaged_database_is_told(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "jobs.sqlite").write_text("no database " * 100)

    with pytest.raises(InputError, match="file is not a database"):
        lab_schedules(tmp_path)
