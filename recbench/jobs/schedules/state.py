"""What has become of a schedule's times: which were started, which left out, how each ended."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from recbench.jobs.schedules.schedule import Schedule

__all__ = ["FINAL", "Attempt", "Occurrence", "State"]

KEPT = 200  # occurrences
FINAL = {"succeeded", "refused", "skipped"}  # no second try would change these


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try at one due time.

    ``status`` is ``running``, or that of the run, or ``timed_out``, or ``refused`` where the input
    could not be used. ``run`` is the run's folder, as soon as there is one; ``why`` it began when
    it did, where it might have waited.
    """

    number: int
    started_at: datetime
    status: str = "running"
    run: str | None = None
    error: str | None = None
    ended_at: datetime | None = None
    why: str | None = None


@dataclass(slots=True, kw_only=True)
class Occurrence:
    """One due time, or several that were left out together (``count`` from ``first_due``).

    ``outcome`` is None until there is nothing left to try; ``notice`` until somebody was told.
    """

    due: datetime
    attempts: list[Attempt] = field(default_factory=list)
    outcome: str | None = None
    reason: str | None = None
    first_due: datetime | None = None
    count: int = 1
    notice: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return bool(self.attempts) and self.attempts[-1].status == "running"

    @property
    def run(self) -> str | None:
        """The latest run's folder."""
        runs = [attempt.run for attempt in self.attempts if attempt.run]
        return runs[-1] if runs else None


@dataclass(slots=True, kw_only=True)
class State:
    """``handled_until``: no time up to here is ever begun again. Occurrences are oldest first."""

    handled_until: datetime
    occurrences: list[Occurrence] = field(default_factory=list)

    @property
    def unfinished(self) -> list[Occurrence]:
        """Those that run, or wait for another attempt."""
        return [each for each in self.occurrences if each.outcome is None]

    def find(self, due: datetime) -> Occurrence | None:
        """The occurrence of this time."""
        return next((each for each in self.occurrences if each.due == due), None)

    def claim(
        self,
        schedule: Schedule,
        due: datetime,
        number: int,
        now: datetime,
        *,
        why: str | None = None,
    ) -> bool:
        """Begin an attempt; False, and nothing changed, if it is not to be begun (any more)."""
        found = self.find(due)
        others = [each for each in self.unfinished if each is not found]
        if others and not schedule.overlap:
            return False
        if found is None:
            if number != 1 or due <= self.handled_until:
                return False
            found = Occurrence(due=due)
            self._append(found)
            self.handled_until = due
        elif found.outcome or found.is_running or number != len(found.attempts) + 1:
            return False
        found.attempts.append(Attempt(number=number, started_at=now, why=why))
        return True

    def end(
        self, schedule: Schedule, due: datetime, *, status: str, error: str | None, now: datetime
    ) -> None:
        """How the attempt that runs at this time has ended."""
        found = self.find(due)
        if found is None or not found.is_running:
            return
        attempt = found.attempts[-1]
        attempt.status, attempt.error, attempt.ended_at = status, error, now
        if status in FINAL or len(found.attempts) > schedule.retries:
            found.outcome, found.reason = status, error

    def leave_out(self, first: datetime, last: datetime, count: int, reason: str) -> None:
        """Times that will never be begun; told together with those left out just before."""
        self.handled_until = max(self.handled_until, last)
        latest = self.occurrences[-1] if self.occurrences else None
        if latest and latest.outcome == "skipped" and latest.reason == reason:
            latest.due, latest.count = last, latest.count + count
            return
        self._append(
            Occurrence(due=last, first_due=first, count=count, outcome="skipped", reason=reason)
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values that ``from_json`` reads."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What ``as_json`` gave."""
        return cls(
            handled_until=_time(content["handled_until"]),
            occurrences=[_occurrence(each) for each in content["occurrences"]],
        )

    def _append(self, occurrence: Occurrence) -> None:
        self.occurrences.append(occurrence)
        done = [each for each in self.occurrences if each.outcome]
        for old in done[: max(0, len(self.occurrences) - KEPT)]:
            self.occurrences.remove(old)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _occurrence(content: Mapping[str, Any]) -> Occurrence:
    first = content["first_due"]
    return Occurrence(
        **{
            **content,
            "due": _time(content["due"]),
            "first_due": first and _time(first),
            "attempts": [_attempt(each) for each in content["attempts"]],
        }
    )


def _attempt(content: Mapping[str, Any]) -> Attempt:
    ended = content["ended_at"]
    times = {"started_at": _time(content["started_at"]), "ended_at": ended and _time(ended)}
    return Attempt(**{**content, **times})


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
