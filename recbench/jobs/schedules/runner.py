"""Carries schedules out: starts attempts, sees how they end, tells who wants to know."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from recbench.errors import InputError
from recbench.jobs.schedules.attempt import NOT_MINE
from recbench.jobs.schedules.foresight import Foresight
from recbench.jobs.schedules.notify import notify
from recbench.jobs.schedules.plan import Plan, plan
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.settle import ending_of
from recbench.jobs.schedules.state import Occurrence, State
from recbench.jobs.schedules.store import ScheduleStore

__all__ = ["Runner"]

END_S = 30.0  # that an attempt may take to end its kernel and record it
COMMAND = (sys.executable, "-m", "recbench.jobs.schedules.attempt")


class _Key(NamedTuple):
    name: str
    due: datetime
    number: int


@dataclass(frozen=True, slots=True)
class _Started:
    process: "subprocess.Popen[bytes]"
    kill_at: datetime | None


class Runner:
    """Does at each ``step`` what is due then.

    Attempts are processes in sessions of their own, so that they outlive this one; the next runner
    sees them in the store.

    Args:
        store: of the schedules.
        workspace: given to the notebooks.
        now: the clock, in UTC.
        until: new times later than this are not begun; None: without end.
        say: told what happens, a line each.
    """

    def __init__(
        self,
        store: ScheduleStore,
        *,
        workspace: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        until: datetime | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.n_bad = 0  # outcomes seen other than succeeded and skipped
        self._store, self._workspace, self._now, self._say = store, workspace, now, say
        self._until = until
        self._started: dict[_Key, _Started] = {}
        self._notices: dict[tuple[str, datetime], Future[str]] = {}
        self._tellers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="notify")
        self._broken: dict[str, str] = {}
        self._foresight = Foresight()
        self._waits: dict[str, str] = {}  # by schedule, what was said of a time that waits

    @property
    def is_busy(self) -> bool:
        """Whether an attempt of ours runs, or somebody is still being told."""
        return bool(self._started or self._notices)

    def step(self, *, begins: bool = True) -> None:
        """Settle what has ended, tell what is to be told, and begin what is due unless told not."""
        names = self._store.names()
        self._forget_all_but(names)
        for name in names:
            try:
                self._step(self._store.read(name), begins=begins)
                self._broken.pop(name, None)
            except InputError as error:  # one that cannot be read must not stop the others
                if self._broken.get(name) != str(error):
                    self._say(f"{name}: {error}")
                self._broken[name] = str(error)

    def stop(self) -> None:
        """End the attempts of ours that run; each is recorded as interrupted."""
        for started in self._started.values():
            started.process.terminate()
        for started in self._started.values():
            try:
                started.process.wait(END_S)
            except subprocess.TimeoutExpired:
                started.process.kill()
                started.process.wait()
        for name in {key.name for key in self._started}.intersection(self._store.names()):
            self._settle(self._store.read(name))
        self._tellers.shutdown(wait=False, cancel_futures=True)

    def _forget_all_but(self, names: list[str]) -> None:
        """Schedules that were removed meanwhile are nobody's business any more."""
        for key, started in list(self._started.items()):
            if key.name not in names and started.process.poll() is not None:
                del self._started[key]
        for told in [told for told in self._notices if told[0] not in names]:
            del self._notices[told]

    def _step(self, schedule: Schedule, *, begins: bool) -> None:
        self._settle(schedule)
        self._tell(schedule)
        if not begins or self._is_about_to_claim(schedule.name):
            return
        self._leave_out(schedule)
        made = self._plan(schedule, self._store.state(schedule.name))
        self._say_wait(schedule, made.waits)
        for start in made.starts:
            key = _Key(schedule.name, *start)
            if key not in self._started:
                self._start(schedule, key)

    def _start(self, schedule: Schedule, key: _Key) -> None:
        errors = self._store.attempt_file(*key)
        errors.parent.mkdir(exist_ok=True)
        where = (str(self._store.folder), str(self._workspace.absolute()))
        here = Path(schedule.directory)
        with errors.open("ab") as stream:
            process = subprocess.Popen(
                [*COMMAND, *where, key.name, key.due.isoformat(), str(key.number)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=here if here.is_dir() else None,
                start_new_session=True,  # Ctrl-C is for the runner
            )
        limit = schedule.timeout_s
        kill_at = self._now() + timedelta(seconds=limit + END_S) if limit else None
        self._started[key] = _Started(process, kill_at)
        again = f", attempt {key.number}" if key.number > 1 else ""
        self._say(f"{key.name}: {_time(key.due)}{again} begins")

    def _is_about_to_claim(self, name: str) -> bool:
        """Whether a process was started that has not claimed its time yet: no other may pass it."""
        state = self._store.state(name)
        for key in self._started:
            if key.name == name:
                found = state.find(key.due)
                if found is None or len(found.attempts) < key.number:
                    return True
        return False

    def _settle(self, schedule: Schedule) -> None:
        for key, started in list(self._started.items()):
            if key.name != schedule.name:
                continue
            if started.kill_at and self._now() > started.kill_at:
                started.process.kill()
            if started.process.poll() is not None:
                del self._started[key]
                self._note_silence(schedule, key, started.process.returncode)
        for occurrence in self._store.state(schedule.name).unfinished:
            self._end_if_dead(schedule, occurrence)

    def _note_silence(self, schedule: Schedule, key: _Key, code: int) -> None:
        """A process that ended before it could claim its time: claimed here, and failed."""
        if code in {0, NOT_MINE}:
            return
        with self._store.change(key.name) as state:
            if state.claim(schedule, key.due, key.number, self._now()):
                error = _last_line(self._store.attempt_file(*key)) or f"exit code {code}"
                state.end(schedule, key.due, status="failed", error=error, now=self._now())

    def _end_if_dead(self, schedule: Schedule, occurrence: Occurrence) -> None:
        """An attempt that says it runs, but whose process has gone, has ended."""
        if not occurrence.is_running:
            return
        attempt = occurrence.attempts[-1]
        if self._store.is_held(schedule.name, occurrence.due, attempt.number):
            return
        last = _last_line(self._store.attempt_file(schedule.name, occurrence.due, attempt.number))
        with self._store.change(schedule.name) as state:
            found = state.find(occurrence.due)
            if found and found.is_running and found.attempts[-1].number == attempt.number:
                status, error = ending_of(found.attempts[-1].run, last)
                state.end(schedule, occurrence.due, status=status, error=error, now=self._now())

    def _leave_out(self, schedule: Schedule) -> None:
        if self._plan(schedule, self._store.state(schedule.name)).left_out is None:
            return
        with self._store.change(schedule.name) as state:
            left_out = self._plan(schedule, state).left_out
            if left_out:
                state.leave_out(*left_out)

    def _plan(self, schedule: Schedule, state: State) -> Plan:
        now = self._now()
        return plan(
            schedule,
            state,
            now,
            until=self._until,
            begins=lambda due: self._foresight(schedule, due, now).at,
        )

    def _say_wait(self, schedule: Schedule, due: datetime | None) -> None:
        """Once, and again where the forecast has changed."""
        if due is None:
            self._waits.pop(schedule.name, None)
            return
        begins = self._foresight(schedule, due, self._now())
        line = f"{schedule.name}: {_time(due)} waits until {_time(begins.at)}: {begins.why}"
        if self._waits.get(schedule.name) != line:
            self._say(line)
        self._waits[schedule.name] = line

    def _tell(self, schedule: Schedule) -> None:
        """Say each outcome once, and notify until it is recorded that somebody was told."""
        for occurrence in self._store.state(schedule.name).occurrences:
            key = (schedule.name, occurrence.due)
            if occurrence.outcome is None or occurrence.notice is not None:
                continue
            if key not in self._notices:
                self._say(f"{schedule.name}: {_outcome(occurrence)}")
                self.n_bad += occurrence.outcome not in {"succeeded", "skipped"}
                self._notices[key] = self._tellers.submit(notify, schedule, occurrence)
            elif self._notices[key].done():
                notice = self._notices.pop(key).result()
                if notice:
                    self._say(f"{schedule.name}: {_time(occurrence.due)} notified, {notice}")
                with self._store.change(schedule.name) as state:
                    if found := state.find(occurrence.due):
                        found.notice = notice
                self._store.clear(schedule.name, occurrence)


def _outcome(occurrence: Occurrence) -> str:
    what = _time(occurrence.due)
    if occurrence.count > 1 and occurrence.first_due:
        what = f"{occurrence.count} times from {_time(occurrence.first_due)} to {what}"
    reason = f": {occurrence.reason}" if occurrence.reason else ""
    where = f", {occurrence.run}" if occurrence.run else ""
    return f"{what} {(occurrence.outcome or '').replace('_', ' ')}{reason}{where}"


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _last_line(path: Path) -> str | None:
    if not path.exists():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else None
