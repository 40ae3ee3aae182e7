"""How Kubernetes spells names, amounts, images and schedules; anything else is refused."""

import re
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from recbench.errors import InputError

__all__ = ["Image", "check_amount", "check_name", "check_schedule", "check_time_zone"]

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
AMOUNTS = {
    "cpu": re.compile(r"[1-9]\d*m?"),
    # without a unit it is bytes, and fewer than seven digits of them are a forgotten unit
    "bytes": re.compile(r"[1-9]\d*(Ki|Mi|Gi|Ti|k|M|G|T)|[1-9]\d{6,}"),
}
EXAMPLES = {"cpu": "4 or 500m", "bytes": "16Gi"}
CRON = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
CRON_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")


class Image(NamedTuple):
    """A container image without its tag, and the tag."""

    repository: str
    tag: str

    @classmethod
    def of(cls, name: str) -> "Image":
        """The parts of ``registry/name:tag``.

        Raises:
            InputError: there is no tag, which would mean ``latest``, or a digest, which names one
                image where several are derived from the name.
        """
        if "@" in name:
            raise InputError(f"`image` must be a name with a tag, not a digest, got {name!r}")
        repository, colon, tag = name.rpartition(":")
        if not colon or not repository or "/" in tag or not re.fullmatch(r"[\w][\w.-]*", tag):
            raise InputError(
                f"`image` needs a tag, got {name!r}; without one it would be whatever is latest, "
                "so write recbench:0.1.0"
            )
        return cls(repository, tag)

    def for_role(self, role: str) -> str:
        """The image of one role: ``repository-role:tag``."""
        return f"{self.repository}-{role}:{self.tag}"


def check_name(what: str, name: str, *, longest: int = 63) -> None:
    """Refuse what is no label by RFC 1123, or longer than ``longest`` characters."""
    if not NAME.fullmatch(name) or len(name) > longest:
        raise InputError(
            f"`{what}` must be lower case letters, digits and hyphens, at most {longest}, "
            f"got {name!r}"
        )


def check_amount(what: str, amount: str, *, unit: str) -> None:
    """Refuse what is no amount of ``"cpu"`` or ``"bytes"``."""
    if not AMOUNTS[unit].fullmatch(amount):
        raise InputError(f"`{what}` must be an amount such as {EXAMPLES[unit]}, got {amount!r}")


def check_schedule(what: str, schedule: str) -> None:
    """Refuse what is not minute, hour, day of month, month, day of week, in numbers."""
    parts = schedule.split()
    if len(parts) != len(CRON):
        raise InputError(f"`{what}` must have {len(CRON)} fields, as `*/15 * * * *`: {schedule!r}")
    for part, (name, least, most) in zip(parts, CRON, strict=True):
        if not all(_is_cron(each, least, most) for each in part.split(",")):
            raise InputError(
                f"`{what}`: the {name} must be {least} to {most}, got {part!r} in {schedule!r}"
            )


def check_time_zone(what: str, zone: str) -> None:
    """Refuse what the database of time zones does not know."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(f"`{what}` must be a time zone such as Etc/UTC, got {zone!r}") from error


def _is_cron(part: str, least: int, most: int) -> bool:
    found = CRON_PART.fullmatch(part)
    if found is None:
        return False
    first, last, step = (None if each is None else int(each) for each in found.groups())
    low, high = (least, most) if first is None else (first, first if last is None else last)
    return least <= low <= high <= most and step != 0
