"""Splits of one log by time: everyone's past before everyone's future."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["LeaveLastOut", "TimeSplit", "microseconds", "split_by_time", "split_leave_last_out"]


@dataclass(frozen=True, slots=True, eq=False)
class TimeSplit:
    """Three stretches of one log: train < ``validation_ts`` <= validation < ``test_ts`` <= test."""

    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame
    validation_ts: datetime
    test_ts: datetime

    @property
    def validation_us(self) -> int:
        """Where the validation starts, microseconds since the epoch."""
        return microseconds(self.validation_ts)

    @property
    def test_us(self) -> int:
        """Where the test starts, microseconds since the epoch."""
        return microseconds(self.test_ts)

    @property
    def past(self) -> pl.DataFrame:
        """Train and validation together: all that is before the test."""
        return pl.concat([self.train, self.validation])


@dataclass(frozen=True, slots=True, eq=False)
class LeaveLastOut:
    """Each user's last event, and all that came before it."""

    train: pl.DataFrame
    test: pl.DataFrame


def split_by_time(
    events: pl.DataFrame, *, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
) -> TimeSplit:
    """Train, validation and test as shares of the rows, cut between instants.

    A cut is the time of the row at that share; every event of this instant falls behind it.

    Args:
        events: canonical, at least three different instants.
        fractions: three positive shares that add up to 1.

    Raises:
        InputError: bad shares, or a part would be empty.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InputError(f"`fractions` must be three positive shares of 1, got {fractions}")
    events = events.sort(c.TS, maintain_order=True)
    n = len(events)
    cuts = [min(int(n * share + 1e-6), n - 1) for share in (fractions[0], sum(fractions[:2]))]
    if n == 0:
        raise InputError("There are no events to split")
    validation_ts, test_ts = (events[c.TS][at] for at in cuts)
    ts = pl.col(c.TS)
    split = TimeSplit(
        events.filter(ts < validation_ts),
        events.filter((ts >= validation_ts) & (ts < test_ts)),
        events.filter(ts >= test_ts),
        validation_ts,
        test_ts,
    )
    sizes = {"train": len(split.train), "validation": len(split.validation)}
    if min(sizes.values()) == 0:
        raise InputError(
            f"{n} events from {events[c.TS][0]} to {events[c.TS][-1]} cannot be split by time "
            f"into {fractions}: {sizes}. Give a longer log, or other `fractions`"
        )
    return split


def split_leave_last_out(events: pl.DataFrame) -> LeaveLastOut:
    """Each user's last event as the test. It leaks: others' later events are in train.

    Only for comparison with published tables. Users with one event stay in train.
    """
    events = events.sort(c.TS, maintain_order=True)
    last = (pl.int_range(pl.len()).over(c.USER_ID) == pl.len().over(c.USER_ID) - 1) & (
        pl.len().over(c.USER_ID) > 1
    )
    return LeaveLastOut(events.filter(~last), events.filter(last))


def microseconds(instant: datetime) -> int:
    """Since the epoch."""
    return round(instant.timestamp() * 1e6)
