"""What a schedule says: which notebook, with what, when, and what happens if it goes wrong."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from recbench.errors import InputError
from recbench.jobs.schedules.times import Times, times_of

__all__ = ["Missed", "Retry", "Schedule"]

Missed = Literal["skip", "once", "all"]
Retry = Literal["resume", "anew"]
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """One notebook by the clock.

    A time is missed when it cannot start within a minute: nobody carried schedules out, or the run
    before had not ended. One that may wait (``within_s``) is missed when it can no longer be done
    in that time.

    Raises:
        InputError: a name that is no file name, a word or number that cannot be, a URL that is not
            HTTP, or a run that may wait without a tariff.
    """

    name: str
    notebook: str  # its path, in full
    times: Times
    parameters: Mapping[str, Any] = field(default_factory=dict)  # those that are not left alone
    missed: Missed = "once"  # leave out, make up for all with one run, or make up for each
    overlap: bool = False  # whether a run may begin while the one before still runs
    within_s: float | None = None  # after its time, to be done; it waits for the cheapest hours
    takes_s: float | None = None  # that a run takes; None: as its latest runs
    tariff: str = ""  # CSV of what an hour costs, its path in full
    timeout_s: float | None = None  # of an attempt
    retries: int = 0  # further attempts after the first
    backoff_s: float = 60.0  # before the first retry; doubled before each further one
    retry: Retry = "resume"  # goes on in the failed run's folder, or begins in a new one
    notify_command: tuple[str, ...] = ()  # a program and its arguments; no shell
    notify_url: str = ""  # gets a POST
    on: str | None = None  # the cluster that carries it out; None: this machine
    idle: bool = False  # takes only what time nobody else on this machine wants
    directory: str  # where the notebook's relative paths begin
    runs: str  # where its runs leave their folders
    created_at: datetime
    paused: bool = False

    def __post_init__(self) -> None:
        """Names, words and numbers are such as can be."""
        if not NAME.fullmatch(self.name):
            message = f"`name` must be letters, digits, `_`, `.` and `-`, got {self.name!r}"
            raise InputError(message)
        for what, allowed in (("missed", get_args(Missed)), ("retry", get_args(Retry))):
            if getattr(self, what) not in allowed:
                raise InputError(f"`{what}` must be one of {allowed}, got {getattr(self, what)!r}")
        if self.retries < 0 or self.backoff_s < 0:
            raise InputError(
                f"`retries` and `backoff` must not be negative, got {self.retries} and "
                f"{self.backoff_s} s"
            )
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise InputError(f"`timeout` must be positive, got {self.timeout_s} s")
        if (self.within_s is None) != (not self.tariff):
            raise InputError(
                f"`within` and `tariff` belong together, got {self.within_s} and {self.tariff!r}"
            )
        for what in ("within_s", "takes_s"):
            if (seconds := getattr(self, what)) is not None and seconds <= 0:
                raise InputError(f"`{what}` must be positive, got {seconds}")
        if self.idle and self.on is not None:
            raise InputError(f"`idle` is about this machine: leave it away, or `on` {self.on}")
        if self.notify_url and urlsplit(self.notify_url).scheme not in {"http", "https"}:
            raise InputError(f"`notify_url` must be http or https, got {self.notify_url!r}")

    def as_json(self) -> dict[str, Any]:
        """Plain values that ``from_json`` reads."""
        content = asdict(self)
        return content | {
            "times": self.times.as_json(),
            "notify_command": list(self.notify_command),
            "created_at": self.created_at.isoformat(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What ``as_json`` gave.

        Raises:
            InputError: something is missing, unknown or not such as can be.
        """
        unknown = set(content) - {each.name for each in fields(cls)}
        if unknown:
            raise InputError(f"a schedule has no {sorted(unknown)}")
        try:
            return cls(
                **{
                    **content,
                    "times": times_of(content["times"]),
                    "notify_command": tuple(content["notify_command"]),
                    "created_at": datetime.fromisoformat(content["created_at"]).astimezone(UTC),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"it is no schedule: {error!r}") from error
