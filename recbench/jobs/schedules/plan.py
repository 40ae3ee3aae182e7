"""What is to be done for a schedule now: a pure function of what it says and what became of it."""

from collections.abc import Callable
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
    """``next_at``: when something is to be done without anything happening before.

    ``waits`` is the time that is due and not begun, for a cheaper hour comes.
    """

    starts: tuple[Start, ...]
    left_out: LeftOut | None
    next_at: datetime
    waits: datetime | None = None


def plan(
    schedule: Schedule,
    state: State,
    now: datetime,
    *,
    until: datetime | None = None,
    begins: Callable[[datetime], datetime] = lambda due: due,
) -> Plan:
    """Attempts to begin and times to leave out at ``now``.

    A new time waits while an earlier one runs or waits for its next attempt, unless runs may
    overlap, and until ``begins``. One new time is begun at once: the latest, with ``missed="all"``
    the oldest, and of those that may wait the oldest that can still be done in time.

    Args:
        schedule: what is to be done.
        state: what became of it.
        now: the clock, in UTC.
        until: of new times none later is begun.
        begins: of a due time, when to begin it.
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
    later = [at for at in retries.values() if at > now]
    waits = None
    if begun and (schedule.overlap or not unfinished):
        if (begins_at := begins(begun)) <= now:
            starts.append(Start(begun, 1))
        else:
            waits = begun
            later.append(begins_at)
    return Plan(tuple(starts), left_out, min([*later, schedule.times.after(now)]), waits)


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
    in_time = now - _longest_wait(schedule)
    if schedule.within_s is not None and due.last > in_time:
        late = schedule.times.within(state.handled_until, in_time)
        left_out = LeftOut(late.first, late.last, late.n_times, reason) if late else None
        open_ = schedule.times.within(max(state.handled_until, in_time), due.last)
        assert open_ is not None  # the last one
        return left_out, open_.first
    if schedule.missed == "skip" and now - due.last > GRACE:
        return LeftOut(due.first, due.last, due.n_times, reason), None
    if due.before_last is None:
        return None, due.last
    return LeftOut(due.first, due.before_last, due.n_times - 1, reason), due.last


def _longest_wait(schedule: Schedule) -> timedelta:
    """After its time, until which a run that may wait can be begun and be done when it must."""
    left_s = (schedule.within_s or 0.0) - (schedule.takes_s or 0.0)
    return max(GRACE, timedelta(seconds=left_s))


def _reason(state: State, due: Due) -> str:
    for each in reversed(state.occurrences):
        ended = each.attempts[-1].ended_at if each.attempts and each.outcome else None
        if each.outcome is None or (ended and ended > due.first):
            return "the run before had not ended"
    return "nobody carried schedules out"
