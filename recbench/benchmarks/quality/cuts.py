"""Rolling cut-offs: several instants of one log at which everybody is judged."""

from dataclasses import dataclass

import polars as pl

from recbench import columns as c
from recbench.errors import InputError

__all__ = ["RollingCut", "rolling_cuts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingCut:
    """Tune on [validation, test), judge on [test, end); all in microseconds since the epoch."""

    validation_at: int
    test_at: int
    end: int

    @property
    def horizon_us(self) -> int:
        """How long the test lasts."""
        return self.end - self.test_at

    def train(self, events: pl.DataFrame) -> pl.DataFrame:
        """What a model knows that is tuned."""
        return events.filter(_ts() < self.validation_at)

    def validation(self, events: pl.DataFrame) -> pl.DataFrame:
        """What it is tuned by."""
        return events.filter(_ts() >= self.validation_at, _ts() < self.test_at)

    def past(self, events: pl.DataFrame) -> pl.DataFrame:
        """What a model knows that is judged."""
        return events.filter(_ts() < self.test_at)

    def test(self, events: pl.DataFrame) -> pl.DataFrame:
        """What it is judged by."""
        return events.filter(_ts() >= self.test_at, _ts() < self.end)


def rolling_cuts(events: pl.DataFrame, *, n_cuts: int = 5, share: float = 0.1) -> list[RollingCut]:
    """The latest cut first; its test is the log's last ``share``, tuned on the share before.

    Each earlier cut lies one share further back. A cut is the time of the row there.

    Args:
        events: canonical, in order of time.
        n_cuts: at least 1.
        share: of the events in each test.

    Raises:
        InputError: less than three shares would be left to learn from.
    """
    if n_cuts < 1 or not share > 0 or 1 - (n_cuts + 1) * share < 3 * share - 1e-9:
        raise InputError(
            f"{n_cuts} cuts with {share} of the events in each test leave "
            f"{1 - (n_cuts + 1) * share:.2f} to learn from, less than three tests' worth"
        )
    ts, n = events[c.TS].dt.epoch("us"), len(events)

    def at(back: int) -> int:
        return int(ts[min(int(n * (1 - back * share) + 1e-6), n - 1)])

    ends = [int(ts[-1]) + 1, *(at(back) for back in range(1, n_cuts + 2))]
    return [
        RollingCut(validation_at=ends[number + 2], test_at=ends[number + 1], end=ends[number])
        for number in range(n_cuts)
    ]


def _ts() -> pl.Expr:
    return pl.col(c.TS).dt.epoch("us")
