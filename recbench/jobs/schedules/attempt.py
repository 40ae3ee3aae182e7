"""One attempt at one due time, as a process of its own.

It claims the time itself, under the store's lock, so that it cannot be begun twice, whoever started
this process and however often. It records how it ended even if whoever started it has gone.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recbench.errors import InputError, JobError
from recbench.jobs.listener import Listener
from recbench.jobs.schedules.foresight import why_begun
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.store import ScheduleStore
from recbench.priority import lower_process

__all__ = ["NOT_MINE", "carry_out", "main"]

NOT_MINE = 3  # exit code: somebody else begins, or began, this attempt


class _Ending(KeyboardInterrupt):
    """Raised in the middle of whatever the main thread does."""

    def __init__(self, status: str, ending: tuple[str, str]) -> None:
        super().__init__(ending[1])
        self.status = status  # the attempt's
        self.ending = ending  # what the run's manifest says


def main(arguments: list[str] | None = None) -> None:
    """Carry out the attempt that the arguments name: store, workspace, schedule, time, number."""
    store, workspace, name, due, number = arguments or sys.argv[1:]
    code = carry_out(
        ScheduleStore(Path(store)),
        name,
        datetime.fromisoformat(due),
        int(number),
        workspace=Path(workspace),
    )
    sys.exit(code)


def carry_out(
    store: ScheduleStore, name: str, due: datetime, number: int, *, workspace: Path
) -> int:
    """Run the schedule's notebook for ``due`` and record how it ended; 0, or ``NOT_MINE``."""
    schedule = store.read(name)
    if schedule.idle:
        lower_process()
    why = why_begun(schedule, due, datetime.now(UTC)) if number == 1 else None
    with store.held(name, due, number) as is_mine:
        if not is_mine:
            return NOT_MINE
        with store.change(name) as state:
            before = state.find(due)
            earlier = before.run if before and schedule.retry == "resume" else None
            if not state.claim(schedule, due, number, datetime.now(UTC), why=why):
                return NOT_MINE
        status, error = _run(schedule, earlier, _Recorder(store, name, due), workspace=workspace)
        with store.change(name) as state:
            state.end(schedule, due, status=status, error=error, now=datetime.now(UTC))
    return 0


def _run(
    schedule: Schedule, earlier: str | None, recorder: "_Recorder", *, workspace: Path
) -> tuple[str, str | None]:
    # heavy, and so after the claim
    from recbench.jobs.manifest import Manifest
    from recbench.jobs.report import write_report
    from recbench.jobs.run import RunFailedError, resume_run, run_notebook
    from recbench.jobs.way import way_to

    try:
        with _ended_in_time(schedule.timeout_s), way_to(schedule.on) as way:
            if earlier:
                recorder.on_folder(Path(earlier))
                resume_run(Path(earlier), workspace=workspace, listener=recorder, way=way)
            else:
                run_notebook(
                    Path(schedule.notebook),
                    schedule.parameters,
                    runs=Path(schedule.runs),
                    workspace=workspace,
                    listener=recorder,
                    way=way,
                )
    except RunFailedError as failure:
        return failure.status, Manifest.read(failure.folder).error
    except _Ending as stop:
        if recorder.folder:
            write_report(recorder.folder)
        return stop.status, stop.ending[1]
    except InputError as error:
        return "refused", str(error)
    except (JobError, OSError) as error:
        return "failed", str(error)
    return "succeeded", None


class _Recorder(Listener):
    """Notes the run's folder in the schedule's state, as soon as there is one."""

    def __init__(self, store: ScheduleStore, name: str, due: datetime) -> None:
        self.folder: Path | None = None
        self._store, self._name, self._due = store, name, due

    def on_folder(self, folder: Path) -> None:
        self.folder = folder
        with self._store.change(self._name) as state:
            if found := state.find(self._due):
                found.attempts[-1].run = str(folder)


@contextmanager
def _ended_in_time(timeout_s: float | None) -> Iterator[None]:
    """Raises in this thread when the time is up, or when SIGTERM comes."""

    def stop(number: int, _: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows cleans up
        if number == signal.SIGALRM:
            took = f"it took longer than {timedelta(seconds=timeout_s or 0)}"
            raise _Ending("timed_out", ("killed", took))
        raise _Ending("interrupted", ("interrupted", "the scheduler was stopped"))

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, timeout_s or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


if __name__ == "__main__":
    main()
