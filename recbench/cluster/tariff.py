"""What a worker costs by the hour, now and forecast, from a small table that somebody keeps.

    from,price,carbon_g_per_kwh,power_w
    07:00,0.12,410,
    22:00,0.06,300,
    23:30,0.06,300,35

Each row holds until the next one. Times of day (UTC) come again every day, as in a tariff; instants
(``2026-11-28T07:00Z``) are a forecast, whose last row holds for an hour. ``price`` is money for a
worker-hour; ``carbon_g_per_kwh`` and ``power_w``, what all workers together may draw, may be left
out or empty.
"""

import csv
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from recbench.cluster.scaling import Hour
from recbench.errors import InputError

__all__ = ["TARIFF_VARIABLE", "Tariff", "TariffFile", "read_tariff"]

TARIFF_VARIABLE = "RECBENCH_TARIFF"
HORIZON = timedelta(hours=48)  # of times of day, which come for ever
LAST = timedelta(hours=1)
NEEDED, OPTIONAL = ("from", "price"), ("carbon_g_per_kwh", "power_w")

logger = logging.getLogger(__name__)


class _Row(NamedTuple):
    begins: time | datetime
    price: float
    carbon_g_per_kwh: float
    power_w: float


@dataclass(frozen=True, slots=True)
class Tariff:
    """The rows of the table, in their order."""

    rows: tuple[_Row, ...]

    def hours(self, at: datetime) -> tuple[Hour, ...]:
        """From ``at`` on, whose own stretch is the first; none where the table does not tell."""
        found = [
            Hour((ends - max(begins, at)).total_seconds(), *row[1:])
            for begins, ends, row in self._stretches(at)
            if ends > at
        ]
        return tuple(found)

    def _stretches(self, at: datetime) -> Iterator[tuple[datetime, datetime, _Row]]:
        """Begin and end of each; the first one has begun at ``at``, or there is none."""
        begun = list(self._begun(at))
        if begun[0][0] > at:
            return
        ends = [begins for begins, _ in begun[1:]] + [begun[-1][0] + LAST]
        for (begins, row), until in zip(begun, ends, strict=True):
            yield begins, until, row

    def _begun(self, at: datetime) -> Iterator[tuple[datetime, _Row]]:
        if isinstance(self.rows[0].begins, datetime):
            yield from ((row.begins, row) for row in self.rows)  # type: ignore[misc]  # all are
            return
        day: date = at.date() - timedelta(days=1)
        while day <= (at + HORIZON).date():
            for row in self.rows:
                yield datetime.combine(day, row.begins, UTC), row  # type: ignore[arg-type]  # a time
            day += timedelta(days=1)


@dataclass(slots=True)
class TariffFile:
    """The hours from now on, of a file that may be written anew at any time.

    A forecast that cannot be read does not stop a scheduler: what was read before still holds.
    """

    path: Path
    known: Tariff | None = None

    def __call__(self) -> tuple[Hour, ...]:
        """As the file says at this moment."""
        return self.hours(datetime.now(UTC))

    def hours(self, at: datetime) -> tuple[Hour, ...]:
        """From ``at`` on, as the file says now."""
        try:
            self.known = read_tariff(self.path)
        except InputError as error:
            logger.warning("%s", error)
        return () if self.known is None else self.known.hours(at)


def read_tariff(path: Path) -> Tariff:
    """The table in a CSV file.

    Raises:
        InputError: no file, no rows, columns or values that cannot be, times and instants mixed, or
            rows that do not go forward.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            columns = tuple(table.fieldnames or ())
            lines = list(table)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"No tariff can be read at `{path}`: {error}") from error
    if not set(NEEDED) <= set(columns) <= {*NEEDED, *OPTIONAL}:
        raise InputError(
            f"`{path}` must have the columns {', '.join(NEEDED)} and may have "
            f"{', '.join(OPTIONAL)}; got {', '.join(map(str, columns)) or 'none'}"
        )
    rows = tuple(_row(line, f"`{path}`, line {number}") for number, line in enumerate(lines, 2))
    if not rows:
        raise InputError(f"`{path}` has no rows")
    if len({type(row.begins) for row in rows}) > 1:
        raise InputError(f"`{path}`: `from` must be times of day, or instants, in all rows alike")
    for before, after in pairwise(rows):
        if before.begins >= after.begins:  # type: ignore[operator]  # both of one type
            raise InputError(f"`{path}`: {after.begins} must not come after {before.begins}")
    return Tariff(rows)


def _row(line: dict[str, str | None], where: str) -> _Row:
    return _Row(
        _begins(line["from"] or "", where),
        _number(line, "price", None, where),
        _number(line, "carbon_g_per_kwh", 0.0, where),
        _number(line, "power_w", math.inf, where),
    )


def _begins(said: str, where: str) -> time | datetime:
    try:
        if "T" not in said:
            return time.fromisoformat(said)
        begins = datetime.fromisoformat(said)
    except ValueError:
        raise InputError(
            f"{where}: `from` must be a time of day such as 07:00 or an instant such as "
            f"2026-11-28T07:00Z, got {said!r}"
        ) from None
    return begins.replace(tzinfo=UTC) if begins.tzinfo is None else begins.astimezone(UTC)


def _number(line: dict[str, str | None], name: str, default: float | None, where: str) -> float:
    said = (line.get(name) or "").strip()
    if not said and default is not None:
        return default
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise InputError(f"{where}: `{name}` must be a number from 0 on, got {said!r}")
    return value
