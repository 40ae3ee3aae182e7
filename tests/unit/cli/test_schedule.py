import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from recbench.cli import main
from recbench.cluster.kubernetes.schemas import problems
from recbench.jobs.schedules.store import ScheduleStore


@pytest.fixture
def place(tmp_path, write_notebook, monkeypatch):
    """A folder with one notebook, and its workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECBENCH_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("RECBENCH_NOTEBOOKS", str(tmp_path))
    write_notebook(tmp_path / "tiny.ipynb", "print(k)", parameters="k = 3\ndata = 'a'\ndeep = True")
    return tmp_path


def schedule(*arguments):
    main(["schedule", *map(str, arguments)])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as leaving:
        schedule(*arguments)
    assert leaving.value.code == 2
    return capsys.readouterr().err


def listed(place):
    schedule("list", "--json", place / "list.json")
    return json.loads((place / "list.json").read_text())


def test_a_schedule_is_added_with_checked_parameters_and_listed(place, capsys):
    schedule("add", "tiny", "--every", "15m", "-p", "k=5", "-p", "deep=false", "--retries", 2)
    before = datetime.now(UTC)
    (row,) = listed(place)

    says = ScheduleStore.of(place / "workspace").read("tiny")
    assert says.parameters == {"k": 5, "deep": False}
    assert (says.retries, says.missed, says.overlap) == (2, "once", False)
    assert says.notebook == str(place / "tiny.ipynb")
    assert (row["name"], row["when"], row["last"]) == ("tiny", "every 0:15:00", None)
    assert datetime.fromisoformat(row["next"]) > before
    assert "Nobody carries those of recbench schedule out now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["nowhere", "--every", "1h"], "no notebook `nowhere`"),
        (["tiny", "--every", "1h", "-p", "k=many"], "`k` cannot be 'many'"),
        (["tiny", "--every", "1h", "-p", "kk=1"], "no parameter `kk`"),
        (["tiny"], "one of --every and --cron"),
        (["tiny", "--every", "1h", "--cron", "0 0 * * *"], "one of --every and --cron"),
        (["tiny", "--every", "soon"], "'soon' is no length of time"),
        (["tiny", "--cron", "0 25 * * *"], "'0 25 * * *': Bad hour"),
        (["tiny", "--cron", "0 0 * * *", "--timezone", "Mars"], "'Mars'"),
        (["tiny", "--every", "1h", "--timezone", "Europe/Berlin"], "--timezone belongs to --cron"),
        (["tiny", "--every", "1h", "--name", "a/b"], "'a/b'"),
        (["tiny", "--every", "1h", "--notify-url", "ftp://x"], "ftp://x"),
        (["tiny", "--every", "1h", "--missed", "never"], "never"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(place, capsys, arguments, shown):
    assert shown in refused(capsys, "add", *arguments)
    assert listed(place) == []


@pytest.fixture
def tariff(place):
    """Five hours from now on are cheap."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    rows = [f"{now + timedelta(hours=each):%Y-%m-%dT%H:%MZ}" for each in (0, 5, 6)]
    path = place / "tariff.csv"
    path.write_text(f"from,price\n{rows[0]},0.4\n{rows[1]},0.1\n{rows[2]},0.4\n")
    return path


def test_what_may_wait_is_listed_with_when_it_begins_and_why(place, tariff, capsys):
    schedule(
        *("add", "tiny", "--every", "1h"),
        *("--within", "8h", "--takes", "10m", "--tariff", tariff.name),
    )
    store = ScheduleStore.of(place / "workspace")
    with store.change("tiny") as state:
        state.handled_until -= timedelta(hours=1)
    (row,) = listed(place)

    assert (store.read("tiny").within_s, store.read("tiny").tariff) == (28_800, str(tariff))
    begins = datetime.fromisoformat(row["next"])
    assert timedelta(hours=4.9) < begins - datetime.now(UTC) < timedelta(hours=5)
    assert row["why"].startswith("due ")
    assert row["why"].endswith("a worker-hour costs 0.1 then, 0.4 now")
    assert "| why" in capsys.readouterr().out


def test_it_is_said_where_no_time_is_left_to_wait(place, tariff, capsys):
    # half an hour, and 1.3 times ten minutes
    for within, said in (("42m", "needs more than 0:43:00"), ("44m", "")):
        options = ("--within", within, "--takes", "10m", "--tariff", tariff.name)
        schedule("add", "tiny", "--every", "1h", "--name", within, *options)
        assert said in capsys.readouterr().err


def test_past_runs_say_why_they_began(place, capsys):
    schedule("add", "tiny", "--every", "1h")
    store = ScheduleStore.of(place / "workspace")
    says, due = store.read("tiny"), datetime(2100, 1, 1, tzinfo=UTC)
    with store.change("tiny") as state:
        state.claim(says, due, 1, due, why="after 5:00:00: it got cheaper")
    schedule("show", "tiny")

    assert "after 5:00:00: it got cheaper" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--within", "8h"], "--within and --tariff together"),
        (["--takes", "8h"], "--within and --tariff together"),
        (["--within", "8h", "--tariff", "nowhere.csv"], "'nowhere.csv' does not exist"),
        (["--within", "8h", "--tariff", "tariff.csv"], "No run of `tiny`"),
        (["--within", "8h", "--takes", "1h", "--tariff", "tiny.ipynb"], "must have the columns"),
    ],
)
def test_what_cannot_wait_is_refused(place, tariff, capsys, options, shown):
    assert shown in refused(capsys, "add", "tiny", "--every", "24h", *options)
    assert listed(place) == []


def test_a_name_is_taken_once(place, capsys):
    schedule("add", "tiny", "--every", "1h")

    assert "a schedule `tiny` already" in refused(capsys, "add", "tiny", "--every", "2h")


def test_pausing_resuming_and_removing(place, capsys):
    schedule("add", "tiny", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
    schedule("pause", "tiny")
    assert listed(place)[0]["next"] == "paused"
    schedule("resume", "tiny")
    assert listed(place)[0]["next"].endswith("Z")
    schedule("remove", "tiny")
    assert listed(place) == []
    assert "no schedule `tiny`; there are: none" in refused(capsys, "show", "tiny")


def test_past_runs_are_shown_with_their_folders(place, capsys):
    schedule("add", "tiny", "--every", "1h")
    store = ScheduleStore.of(place / "workspace")
    says, due = store.read("tiny"), datetime(2100, 1, 1, tzinfo=UTC)
    with store.change("tiny") as state:
        state.claim(says, due, 1, due)
        state.occurrences[-1].attempts[-1].run = "/runs/20260101T000000Z-tiny-abcdef"
        state.end(says, due, status="failed", error="cell 2: it rained", now=due)
    schedule("show", "tiny", "--json", place / "shown.json")

    (past,) = json.loads((place / "shown.json").read_text())["past"]
    assert (past["status"], past["took_s"]) == ("failed", 0.0)
    assert past["folder"] == "/runs/20260101T000000Z-tiny-abcdef"
    assert "cell 2: it rained" in capsys.readouterr().out


def test_once_ends_when_nothing_is_due(place, capsys):
    schedule("add", "tiny", "--every", "24h")
    schedule("run", "--once")

    assert "carries out 1 schedules" in capsys.readouterr().out


def exported(capsys, *arguments):
    schedule("export", "tiny", "--to", "k8s", *arguments)
    captured = capsys.readouterr()
    return yaml.safe_load(captured.out), captured.err


def test_a_schedule_is_exported_as_a_cron_job_that_kubernetes_takes(place, capsys):
    schedule(
        *("add", "tiny", "--every", "15m", "-p", "k=5", "-p", "deep=false", "-p", "data=x y"),
        *("--missed", "skip", "--timeout", "10m", "--retries", 1, "--notify-command", "true"),
    )
    capsys.readouterr()
    manifest, said = exported(capsys, "--namespace", "mine")

    spec = manifest["spec"]
    job = spec["jobTemplate"]["spec"]
    args = job["template"]["spec"]["containers"][0]["args"]
    assert problems(manifest) == []
    assert manifest["metadata"] | {"labels": 0} == {
        "name": "recbench-tiny",
        "namespace": "mine",
        "labels": 0,
    }
    assert (spec["schedule"], spec["timeZone"]) == ("*/15 * * * *", "Etc/UTC")
    assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"]) == ("Forbid", 60)
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (1200, 1)
    assert args[:9] == [
        "recbench",
        "run",
        "tiny",
        "-p",
        "k=5",
        "-p",
        "deep=False",
        "-p",
        "data=x y",
    ]
    assert "notifies nobody" in said


def test_cron_in_a_zone_and_overlaps_are_kept_in_a_cron_job(place, capsys):
    schedule(
        "add", "tiny", "--cron", "5 3 * * 1", "--timezone", "Europe/Berlin", "--overlap", "yes"
    )
    capsys.readouterr()
    manifest, said = exported(capsys)

    spec = manifest["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("5 3 * * 1", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Allow"
    assert "startingDeadlineSeconds" not in spec
    assert "activeDeadlineSeconds" not in spec["jobTemplate"]["spec"]
    assert said == ""


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--every", "7m"], "Cron has no `every 0:07:00`"),
        (["--every", "90m"], "Cron has no `every 1:30:00`"),
        (["--every", "1h", "--missed", "all"], "makes up for each missed time"),
    ],
)
def test_what_kubernetes_cannot_do_is_refused(place, capsys, arguments, shown):
    schedule("add", "tiny", *arguments)

    assert shown in refused(capsys, "export", "tiny", "--to", "k8s")
