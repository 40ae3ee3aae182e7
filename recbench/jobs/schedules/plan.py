"""What is to be done for a schedule now: a pure function of what it says and what became of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from recbench.jobs.schedules.schedule import Schedule
from recbench.jobs.schedules.state import Occurrence, State
from recbench.jobs.schedules.times import Due

__all__ = ["GRACE", "LeftOut", "Plan", "Start", "plan", "retry_at"]

GRACE = timedelta(seconds=60)  # a time that begins later than this was missed
NEVER = datetime.max.replace(tzinfo=UTC)


class Start(NamedTuple):
    """An attempt to begin: the due time, and which attempt at it."""

    due: datetime
    number: int


class LeftOut(NamedTuple):
    """Times that are not made up for: from, to, how many and why."""

    first: datetime
    last: datetime
    n_times: int
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``next_at``: when something is to be done without anything happening before."""

    starts: tuple[Start, ...]
    left_out: LeftOut | None
    next_at: datetime


def plan(schedule: Schedule, state: State, now: datetime, *, until: datetime | None = None) -> Plan:
    """Attempts to begin and times to leave out at ``now``; of new times none later than ``until``.

    A new time waits while an earlier one runs or waits for its next attempt, unless runs may
    overlap. One new time is begun at once; with ``missed="all"`` the oldest.
    """
    if schedule.paused:
        return Plan((), None, NEVER)
    unfinished = state.unfinished
    waiting = [each for each in unfinished if not each.is_running]
    retries = {each.due: retry_at(schedule, each) for each in waiting}
    starts = [
        Start(each.due, len(each.attempts) + 1) for each in waiting if retries[each.due] <= now
    ]
    due = schedule.times.within(state.handled_until, min(now, until or now))
    left_out, begun = _new(schedule, state, due, now) if due else (None, None)
    if begun and (schedule.overlap or not unfinished):
        starts.append(Start(begun, 1))
    later = [at for at in retries.values() if at > now]
    return Plan(tuple(starts), left_out, min([*later, schedule.times.after(now)]))


def retry_at(schedule: Schedule, occurrence: Occurrence) -> datetime:
    """When the next attempt at an occurrence whose last one has ended may begin."""
    ended = occurrence.attempts[-1].ended_at
    assert ended is not None
    return ended + timedelta(seconds=schedule.backoff_s * 2 ** (len(occurrence.attempts) - 1))


def _new(
    schedule: Schedule, state: State, due: Due, now: datetime
) -> tuple[LeftOut | None, datetime | None]:
    """Of the times that are due: those to leave out, and the one to begin."""
    if schedule.missed == "all":
        return None, due.first
    reason = _reason(state, due)
    if schedule.missed == "skip" and now - due.last > GRACE:
        return LeftOut(due.first, due.last, due.n_times, reason), None
    if due.before_last is None:
        return None, due.last
    return LeftOut(due.first, due.before_last, due.n_times - 1, reason), due.last


def _reason(state: State, due: Due) -> str:
    for each in reversed(state.occurrences):
        ended = each.attempts[-1].ended_at if each.attempts and each.outcome else None
        if each.outcome is None or (ended and ended > due.first):
            return "the run before had not ended"
    return "nobody carried schedules out"
