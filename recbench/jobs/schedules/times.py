"""When a schedule is due: a fixed distance, or cron's five fields in a time zone."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from recbench.errors import InputError

__all__ = ["Cron", "Due", "Every", "Times", "times_of"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CRON_FIELDS = 5


class Due(NamedTuple):
    """Times within a span; ``before_last`` is None where there is one only."""

    first: datetime
    last: datetime
    before_last: datetime | None
    n_times: int


@dataclass(frozen=True, slots=True)
class Every:
    """Every so many seconds since 1970 in UTC: 15 minutes are :00, :15, :30 and :45."""

    seconds: float

    def __post_init__(self) -> None:
        """A second at least."""
        if not 1 <= self.seconds < math.inf:
            raise InputError(f"`every` must be a second or more, got {self.seconds} s")

    def after(self, instant: datetime) -> datetime:
        """The first time later than ``instant``."""
        return self._number(self._count(instant) + 1)

    def within(self, after: datetime, until: datetime) -> Due | None:
        """The times later than ``after`` and not later than ``until``; None: none."""
        low, high = self._count(after), self._count(until)
        if high <= low:
            return None
        before_last = self._number(high - 1) if high - low > 1 else None
        return Due(self._number(low + 1), self._number(high), before_last, high - low)

    def as_json(self) -> dict[str, object]:
        """What ``times_of`` reads."""
        return {"every_s": self.seconds}

    def __str__(self) -> str:
        return f"every {timedelta(seconds=self.seconds)}"

    def _count(self, instant: datetime) -> int:
        return math.floor((instant - EPOCH).total_seconds() / self.seconds)

    def _number(self, number: int) -> datetime:
        return EPOCH + timedelta(seconds=number * self.seconds)


@dataclass(frozen=True, slots=True)
class Cron:
    """Minute, hour, day of month, month, day of week, as Debian's cron reads them.

    Where clocks jump ahead, a job of the hour that is left out runs right after the jump; where
    they fall back, it runs once. What runs hourly or more often goes by the time that passes.
    """

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Both are readable, and the times do come."""
        if len(self.expression.split()) != CRON_FIELDS:
            raise InputError(
                f"`cron` must have {CRON_FIELDS} fields (minute, hour, day of month, month, day of "
                f"week), as in '*/15 * * * *'; got {self.expression!r}"
            )
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            message = f"`timezone` must be one as Europe/Berlin, got {self.zone!r}"
            raise InputError(message) from error
        try:
            next(CronSim(self.expression, EPOCH))
        except CronSimError as error:
            raise InputError(f"`cron` cannot be {self.expression!r}: {error}") from error
        except StopIteration as error:
            raise InputError(f"`cron` never comes: {self.expression!r}") from error

    def after(self, instant: datetime) -> datetime:
        """The first time later than ``instant``; in UTC."""
        return next(self._after(instant))

    def within(self, after: datetime, until: datetime) -> Due | None:
        """The times later than ``after`` and not later than ``until``; None: none."""
        first = last = before_last = None
        count = 0
        for time in self._after(after):
            if time > until:
                break
            first, before_last, last = first or time, last, time
            count += 1
        return Due(first, last, before_last, count) if first and last else None

    def as_json(self) -> dict[str, object]:
        """What ``times_of`` reads."""
        return {"cron": self.expression, "timezone": self.zone}

    def __str__(self) -> str:
        return f"{self.expression} ({self.zone})"

    def _after(self, instant: datetime) -> "_Later":
        return _Later(CronSim(self.expression, instant.astimezone(ZoneInfo(self.zone))), instant)


class _Later:
    """cronsim's times in UTC, without those that lie before where it was asked to begin.

    It goes by wall clocks: begun in the second of two equal hours, it names a time of the first.
    """

    def __init__(self, times: CronSim, instant: datetime) -> None:
        self._times = times
        self._latest = instant

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> datetime:
        time = next(self._times).astimezone(UTC)
        while time <= self._latest:
            time = next(self._times).astimezone(UTC)
        self._latest = time
        return time


Times = Every | Cron


def times_of(content: dict[str, object]) -> Times:
    """What ``as_json`` gave."""
    if "every_s" in content:
        return Every(float(str(content["every_s"])))
    return Cron(str(content["cron"]), str(content["timezone"]))
