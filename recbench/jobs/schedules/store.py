"""Schedules in the workspace, for several processes: what they say and what became of them."""

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recbench.errors import InputError
from recbench.files import is_free, one_at_a_time, write_json
from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.state import Occurrence, State

__all__ = ["ScheduleStore"]

SAYS, BECAME = "schedule.json", "state.json"


@dataclass(frozen=True, slots=True)
class ScheduleStore:
    """One folder a schedule: ``schedule.json``, ``state.json``, and a file held by each attempt."""

    folder: Path

    @classmethod
    def of(cls, workspace: Path) -> "ScheduleStore":
        """The store of a workspace: its folder ``schedules``."""
        return cls(workspace.absolute() / "schedules")

    @property
    def runner_lock(self) -> Path:
        """What the process that carries the schedules out holds."""
        return self.folder / ".runner.lock"

    def has_runner(self) -> bool:
        """Whether a process carries the schedules out."""
        return _is_taken(self.runner_lock)

    def names(self) -> list[str]:
        """Of all schedules, in order."""
        return sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{SAYS}"))

    def read(self, name: str) -> Schedule:
        """What the schedule says.

        Raises:
            InputError: there is none of this name, or its file is none of ours.
        """
        return Schedule.from_json(self._content(name, SAYS))

    def state(self, name: str) -> State:
        """What has become of the schedule.

        Raises:
            InputError: as ``read``.
        """
        return State.from_json(self._content(name, BECAME))

    def add(self, schedule: Schedule) -> None:
        """Keep a new schedule; its times begin at ``created_at``.

        Raises:
            InputError: the name is taken.
        """
        folder = self.folder / schedule.name
        with one_at_a_time(folder):
            if (folder / SAYS).exists():
                raise InputError(
                    f"There is a schedule `{schedule.name}` already; choose another --name, or "
                    f"`recbench schedule remove {schedule.name}` first"
                )
            write_json(folder / BECAME, State(handled_until=schedule.created_at).as_json())
            write_json(folder / SAYS, schedule.as_json())

    def remove(self, name: str) -> None:
        """Forget a schedule; the folders of its runs stay.

        Raises:
            InputError: there is none of this name, or it runs.
        """
        with self.change(name) as state:
            running = [each for each in state.unfinished if each.is_running]
            if running:
                raise InputError(
                    f"`{name}` runs now, in {running[0].run}; pause it, and remove it when that "
                    "has ended"
                )
            aside = self.folder / f".{name}.{uuid.uuid4().hex[:8]}.removed"
            (self.folder / name).rename(aside)
        shutil.rmtree(aside)

    def pause(self, name: str) -> None:
        """Begin nothing of this schedule; what runs goes on.

        Raises:
            InputError: as ``read``.
        """
        with self.change(name):
            self._say(replace(self.read(name), paused=True))

    def resume(self, name: str, now: datetime) -> None:
        """Go on with a paused schedule; times that passed meanwhile were not missed.

        Raises:
            InputError: as ``read``.
        """
        with self.change(name) as state:
            if (schedule := self.read(name)).paused:
                state.handled_until = max(state.handled_until, now)
                self._say(replace(schedule, paused=False))

    @contextmanager
    def change(self, name: str) -> Iterator[State]:
        """The state, to be changed by one process at a time; kept, whole, unless an error comes.

        Raises:
            InputError: as ``read``.
        """
        self._content(name, SAYS)
        with one_at_a_time(self.folder / name):
            state = self.state(name)
            yield state
            if (self.folder / name / SAYS).exists():  # not removed meanwhile
                write_json(self.folder / name / BECAME, state.as_json())

    @contextmanager
    def held(self, name: str, due: datetime, number: int) -> Iterator[bool]:
        """Hold an attempt for as long as the block runs; False: another process holds it.

        The system lets go of it when the process ends, however it ends.
        """
        path = self.attempt_file(name, due, number)
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as stream:
            yield is_free(stream)

    def is_held(self, name: str, due: datetime, number: int) -> bool:
        """Whether a living process carries the attempt out."""
        return _is_taken(self.attempt_file(name, due, number))

    def attempt_file(self, name: str, due: datetime, number: int) -> Path:
        """What the attempt holds; its errors go there."""
        return self.folder / name / "attempts" / f"{due:%Y%m%dT%H%M%SZ}-{number}.txt"

    def clear(self, name: str, occurrence: Occurrence) -> None:
        """Remove what its attempts held."""
        for attempt in occurrence.attempts:
            self.attempt_file(name, occurrence.due, attempt.number).unlink(missing_ok=True)

    def _say(self, schedule: Schedule) -> None:
        write_json(self.folder / schedule.name / SAYS, schedule.as_json())

    def _content(self, name: str, file: str) -> dict[str, Any]:
        path = self.folder / name / file
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            known = ", ".join(self.names()) or "none"
            raise InputError(f"There is no schedule `{name}`; there are: {known}") from error
        except ValueError as error:
            raise InputError(f"`{path}` is not JSON: {error}") from error
        return content


def _is_taken(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("a") as stream:
        return not is_free(stream)
