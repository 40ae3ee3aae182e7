"""When a schedule's time will be begun: at once, or in the cheapest hours that it may wait for."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from recbench.cluster.tariff import TariffFile
from recbench.errors import InputError
from recbench.jobs.cheap_hours import ASK_AGAIN_S, cheapest, usual_seconds
from recbench.jobs.schedules.schedule import Schedule

__all__ = ["Expected", "Foresight", "why_begun"]

AT_ONCE_S = 60


class Expected(NamedTuple):
    """When a time should be begun, and why not earlier; no reason where it does not wait."""

    at: datetime
    why: str = ""


class _Answer(NamedTuple):
    asked_at: datetime
    expected: Expected


@dataclass(slots=True)
class Foresight:
    """Asks tariffs and past runs, every ten minutes at most for one and the same time.

    Nothing of it is kept on disk: another process that asks the same files plans alike.
    """

    tariffs: dict[str, TariffFile] = field(default_factory=dict)
    _answers: dict[tuple[str, datetime], _Answer] = field(default_factory=dict)

    def __call__(self, schedule: Schedule, due: datetime, now: datetime) -> Expected:
        """Of a time that is due or will be."""
        if schedule.within_s is None:
            return Expected(due)
        key = (schedule.name, due)
        known = self._answers.get(key)
        again_s = timedelta(seconds=ASK_AGAIN_S)
        if known is None or not timedelta() <= now - known.asked_at < again_s:
            self._answers = {k: a for k, a in self._answers.items() if k[0] != schedule.name}
            known = self._answers[key] = _Answer(now, self._asked(schedule, due, max(due, now)))
        return known.expected

    def _asked(self, schedule: Schedule, due: datetime, at: datetime) -> Expected:
        tariff = self.tariffs.setdefault(schedule.tariff, TariffFile(Path(schedule.tariff)))
        try:
            takes_s = _takes_s(schedule)
        except InputError:  # its runs were removed: what is begun at once is in time
            return Expected(due)
        left = due + timedelta(seconds=schedule.within_s or 0) - at
        begins = cheapest(tariff.hours(at), takes_s=takes_s, left_s=left.total_seconds())
        if not begins.wait_s:
            return Expected(due)
        return Expected(at + timedelta(seconds=begins.wait_s), begins.why)


def why_begun(schedule: Schedule, due: datetime, now: datetime) -> str | None:
    """Why a time is begun now; None where it could not wait."""
    if schedule.within_s is None:
        return None
    waited_s = int((now - due).total_seconds())
    waited = f"after {timedelta(seconds=waited_s)}" if waited_s > AT_ONCE_S else "at once"
    prices = [
        f"{hours[0].price:.4g}" if hours else "unknown"
        for hours in (TariffFile(Path(schedule.tariff)).hours(at) for at in (now, due))
    ]
    return f"{waited}: a worker-hour costs {prices[0]}, {prices[1]} when it was due"


def _takes_s(schedule: Schedule) -> float:
    if schedule.takes_s is not None:
        return schedule.takes_s
    return usual_seconds(Path(schedule.notebook).stem, Path(schedule.runs))
