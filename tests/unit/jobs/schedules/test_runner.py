import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recbench.jobs.schedules import runner as runner_module
from recbench.jobs.schedules.runner import Runner
from recbench.jobs.schedules.store import ScheduleStore
from recbench.jobs.schedules.times import Every

WAIT_S = 60

# Does what an attempt does, without a notebook: claims its time, then what the file `do` says.
ATTEMPT = """
import os, sys, time
from datetime import datetime
from pathlib import Path
from recbench.jobs.schedules.attempt import NOT_MINE
from recbench.jobs.schedules.store import ScheduleStore

folder, workspace, name, due, number = sys.argv[1:]
store, due = ScheduleStore(Path(folder)), datetime.fromisoformat(due)
schedule = store.read(name)
do = Path(schedule.directory, "do").read_text()
while do == "wait" and not Path(schedule.directory, "go").exists():
    time.sleep(0.01)
if do == "crash":
    sys.exit("no module named nonsense")
with store.held(name, due, int(number)) as is_mine:
    with store.change(name) as state:
        if not is_mine or not state.claim(schedule, due, int(number), due):
            sys.exit(NOT_MINE)
    if do == "die":
        os.kill(os.getpid(), 9)
    if do == "hang":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    with store.change(name) as state:
        state.end(schedule, due, status=do, error=None, now=due)
"""


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock(noon):
    return Clock(noon)


@pytest.fixture
def store(tmp_path):
    return ScheduleStore.of(tmp_path / "workspace")


@pytest.fixture
def do(tmp_path, monkeypatch):
    """Says what attempts do from now on."""
    script = tmp_path / "attempt.py"
    script.write_text(ATTEMPT)
    monkeypatch.setattr(runner_module, "COMMAND", (sys.executable, str(script)))

    def say(what):
        (tmp_path / "do").write_text(what)

    say("succeeded")
    return say


@pytest.fixture
def lines():
    return []


@pytest.fixture
def runner(store, tmp_path, clock, lines, do):
    made = Runner(store, workspace=tmp_path / "workspace", now=clock, say=lines.append)
    yield made
    made.stop()


def until_idle(runner, *, begins=True):
    deadline = time.monotonic() + WAIT_S
    runner.step(begins=begins)
    while runner.is_busy and time.monotonic() < deadline:
        time.sleep(0.02)
        runner.step(begins=begins)
    assert not runner.is_busy


def test_what_is_due_runs_once_and_is_told_once(runner, store, clock, quarterly, minutes, lines):
    store.add(quarterly())
    clock.now = minutes(15)
    until_idle(runner)
    until_idle(runner)

    (occurrence,) = store.state("refresh").occurrences
    assert (occurrence.due, occurrence.outcome) == (minutes(15), "succeeded")
    assert lines == [
        "refresh: 2026-11-28 12:15:00Z begins",
        "refresh: 2026-11-28 12:15:00Z succeeded",
    ]


def test_a_restart_goes_on_where_the_state_is(runner, store, clock, quarterly, minutes, tmp_path):
    store.add(quarterly(missed="skip"))
    clock.now = minutes(15)
    until_idle(runner)
    clock.now = minutes(47)
    until_idle(Runner(store, workspace=tmp_path / "workspace", now=clock))

    outcomes = [(each.due, each.outcome, each.count) for each in store.state("refresh").occurrences]
    assert outcomes == [(minutes(15), "succeeded", 1), (minutes(45), "skipped", 2)]


def test_a_time_is_not_passed_over_while_its_process_starts(
    runner, store, clock, quarterly, minutes
):
    store.add(quarterly())
    clock.now = minutes(15)
    runner.step()  # the process has not claimed its time yet
    clock.now = minutes(30)
    until_idle(runner)

    outcomes = [(each.due, each.outcome) for each in store.state("refresh").occurrences]
    assert outcomes == [(minutes(15), "succeeded"), (minutes(30), "succeeded")]


def test_a_runner_with_an_end_begins_nothing_that_falls_due_later(
    store, clock, quarterly, minutes, tmp_path, do
):
    store.add(quarterly())
    runner = Runner(store, workspace=tmp_path, now=clock, until=minutes(16))
    clock.now = minutes(15)
    runner.step()
    clock.now = minutes(31)  # the run takes longer than the distance between two
    until_idle(runner)

    assert [each.due for each in store.state("refresh").occurrences] == [minutes(15)]


def test_a_schedule_that_is_removed_while_its_process_starts_is_forgotten(
    runner, store, clock, quarterly, minutes, do, tmp_path
):
    store.add(quarterly())
    do("wait")
    clock.now = minutes(15)
    runner.step()
    store.remove("refresh")
    (tmp_path / "go").touch()
    until_idle(runner)

    assert store.names() == []


def test_a_process_that_fails_to_start_is_a_failed_attempt(
    runner, store, clock, quarterly, minutes, do
):
    store.add(quarterly(retries=1, backoff_s=60))
    do("crash")
    clock.now = minutes(15)
    until_idle(runner)
    assert store.state("refresh").occurrences[0].outcome is None
    clock.now = minutes(16)
    until_idle(runner)

    (occurrence,) = store.state("refresh").occurrences
    assert occurrence.outcome == "failed"
    assert [attempt.error for attempt in occurrence.attempts] == ["no module named nonsense"] * 2
    assert runner.n_bad == 1


def test_an_attempt_whose_process_dies_is_killed_not_running_for_ever(
    runner, store, clock, quarterly, minutes, do
):
    store.add(quarterly())
    do("die")
    clock.now = minutes(15)
    until_idle(runner)

    (occurrence,) = store.state("refresh").occurrences
    assert (occurrence.outcome, occurrence.reason) == ("killed", "its process ended without a word")


def test_an_attempt_that_does_not_end_in_time_by_itself_is_killed(
    runner, store, clock, quarterly, minutes, do
):
    store.add(quarterly(timeout_s=10))
    do("hang")
    clock.now = minutes(15)
    runner.step()
    deadline = time.monotonic() + WAIT_S
    while not store.state("refresh").unfinished and time.monotonic() < deadline:
        time.sleep(0.02)
    clock.now = minutes(16)
    until_idle(runner, begins=False)

    assert store.state("refresh").occurrences[0].outcome == "killed"


def test_a_time_waits_for_the_cheap_hour_over_a_restart_and_runs_once(
    runner, store, clock, quarterly, minutes, lines, tmp_path
):
    tariff = tmp_path / "tariff.csv"
    tariff.write_text("from,price\n00:00,0.4\n12:45,0.1\n13:45,0.4\n")
    store.add(quarterly(times=Every(3600), within_s=7200, takes_s=60, tariff=str(tariff)))
    with store.change("refresh") as state:
        state.handled_until = minutes(-1)
    for number in (1, 1, 20):
        clock.now = minutes(number)
        until_idle(runner)
    assert store.state("refresh").occurrences == []
    assert lines == [
        "refresh: 2026-11-28 12:00:00Z waits until 2026-11-28 12:45:00Z: "
        "a worker-hour costs 0.1 then, 0.4 now"
    ]

    second = Runner(store, workspace=tmp_path / "workspace", now=clock, say=lines.append)
    for number in (44, 45, 46):
        clock.now = minutes(number)
        until_idle(second)
    until_idle(runner)
    (occurrence,) = store.state("refresh").occurrences
    assert (occurrence.due, occurrence.outcome) == (minutes(0), "succeeded")
    assert [line for line in lines if "begins" in line] == ["refresh: 2026-11-28 12:00:00Z begins"]


def test_one_schedule_that_cannot_be_read_does_not_stop_the_others(
    runner, store, clock, quarterly, minutes, lines
):
    store.add(quarterly(name="broken"))
    store.add(quarterly(name="whole"))
    (store.folder / "broken" / "schedule.json").write_text("{")
    clock.now = minutes(15)
    until_idle(runner)

    assert store.state("whole").occurrences[0].outcome == "succeeded"
    assert sum("schedule.json` is not JSON" in line for line in lines) == 1


def test_a_paused_schedule_makes_up_for_nothing_when_resumed(
    runner, store, clock, quarterly, minutes
):
    store.add(quarterly())
    store.pause("refresh")
    clock.now = minutes(40)
    until_idle(runner)
    store.resume("refresh", clock.now)
    until_idle(runner)
    assert store.state("refresh").occurrences == []

    clock.now = minutes(45)
    until_idle(runner)
    assert store.state("refresh").occurrences[0].due == minutes(45)


def test_a_command_is_told_in_its_environment(runner, store, clock, quarterly, minutes, tmp_path):
    told = tmp_path / "told"
    code = "import os, json, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    store.add(quarterly(notify_command=(sys.executable, "-c", code, str(told))))
    clock.now = minutes(15)
    until_idle(runner)

    variables = json.loads(told.read_text())
    assert variables["RECBENCH_STATUS"] == "succeeded"
    assert variables["RECBENCH_SCHEDULE"] == "refresh"
    assert variables["RECBENCH_DUE"] == "2026-11-28T12:15:00+00:00"
    assert variables["RECBENCH_ERROR"] == ""
    assert store.state("refresh").occurrences[0].notice == "command: told"


@pytest.fixture
def webhook():
    """A server that keeps what it is sent; `.status` is what it answers."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.got = 200, got
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_url_is_told_as_json(runner, store, clock, quarterly, minutes, webhook, do):
    store.add(quarterly(notify_url=f"http://127.0.0.1:{webhook.server_port}/hook"))
    do("failed")
    clock.now = minutes(15)
    until_idle(runner)

    (message,) = webhook.got
    assert message["status"] == "failed"
    assert message["schedule"] == "refresh"
    assert message["attempts"] == 1
    assert message["folder"] is None


def test_notices_that_fail_are_told_and_never_stop_anything(
    runner, store, clock, quarterly, minutes, webhook, lines
):
    webhook.status = 500
    url = f"http://127.0.0.1:{webhook.server_port}/"
    store.add(quarterly(notify_command=("no-such-program",), notify_url=url))
    clock.now = minutes(15)
    until_idle(runner)
    until_idle(runner)

    (occurrence,) = store.state("refresh").occurrences
    assert occurrence.outcome == "succeeded"
    assert "cannot run no-such-program: No such file or directory" in occurrence.notice
    assert "HTTP Error 500" in occurrence.notice
    assert len(webhook.got) == 1
    assert "HTTP Error 500" in lines[-1]
