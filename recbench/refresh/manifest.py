"""A release's manifest: what it binds, where it comes from, and the checksum of every file."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from recbench.errors import ReleaseError
from recbench.files import sha256_of, write_json

__all__ = ["Manifest", "as_release_id", "hashed_files", "is_release_id"]

FORMAT = 2  # what is written
READ = (1, 2)  # 1 had neither `exports` nor `index`
LATER = ("exports", "index")  # empty, they are not bound: so a release of format 1 keeps its id
NAME = "manifest.json"
RELEASE_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The facts of one release."""

    release: str
    created: str  # ISO 8601, UTC
    data: str  # name of the data set
    protocol: str
    watermark: str  # ISO 8601: the time of the last event it knows
    lake_version: int  # Delta version of the events
    parent: str | None  # the release that was current when this one was made
    gate: dict[str, Any]  # {"verdict": …, "reasons": […]}
    metrics: dict[str, Any]  # measured before any refit on the test's part
    settings: dict[str, Any]  # every dial of the fit
    parity: dict[str, float]  # exported towers against torch
    code: dict[str, Any]  # version and commit
    kafka_offsets: dict[str, int] | None = None
    exports: dict[str, Any] = field(default_factory=dict)  # of a tower's precisions
    index: dict[str, Any] = field(default_factory=dict)  # what was chosen, and why
    format: int = FORMAT
    files: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> sha256, bytes

    def __post_init__(self) -> None:
        """Refuse times and files that could not be used later."""
        for name in ("created", "watermark"):
            held = getattr(self, name)
            if datetime.fromisoformat(held).tzinfo is None:
                raise ReleaseError(f"`{name}` must have a time zone, got {held!r}")
        for name, facts in self.files.items():
            if not {"sha256", "bytes"} <= set(facts):
                raise ReleaseError(f"`files` must give sha256 and bytes of {name!r}, got {facts}")

    @property
    def watermark_us(self) -> int:
        """The watermark in microseconds since the epoch."""
        return (datetime.fromisoformat(self.watermark) - EPOCH) // MICROSECOND

    @property
    def fit(self) -> str:
        """The release whose full fit its towers go on from; refreshes name it, a fit is its own.

        Embeddings of two releases of one fit are close to each other; those of two fits have
        nothing to do with each other.
        """
        return str(self.settings.get("refresh", {}).get("fit", self.release))

    @property
    def own_id(self) -> str:
        """The id that belongs to this manifest: when it was made, and a digest of all it binds."""
        created = datetime.fromisoformat(self.created).astimezone(UTC)
        bound = json.loads(json.dumps(asdict(self), default=str))  # as it is read back
        for name in ("release", "created", *(part for part in LATER if not bound[part])):
            del bound[name]
        digest = hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()
        return f"{created:%Y%m%dT%H%M%SZ}-{digest[:8]}"

    def write(self, folder: Path) -> None:
        """As ``manifest.json`` in ``folder``."""
        write_json(folder / NAME, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What ``write`` wrote.

        Raises:
            ReleaseError: there is none, or of another format.
        """
        try:
            held = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ReleaseError(f"{folder} is no release: it has no {NAME}") from error
        except ValueError as error:
            raise ReleaseError(f"{folder / NAME} is damaged: {error}") from error
        if not isinstance(held, dict) or held.get("format") not in READ:
            written = held.get("format") if isinstance(held, dict) else held
            told = " and ".join(map(str, READ))
            raise ReleaseError(f"{folder} has format {written!r}, this version reads {told}")
        try:
            return cls(**held)
        except (AttributeError, TypeError, ValueError) as error:
            raise ReleaseError(f"{folder / NAME} is damaged: {error}") from error

    def verify(self, folder: Path) -> None:
        """Nothing, if every file is there and unchanged, this manifest among them.

        Raises:
            ReleaseError: one is not; the message names it.
        """
        for name, facts in self.files.items():
            path = folder / name
            if Path(name).name != name or path.is_symlink() or not path.is_file():
                raise ReleaseError(f"Release {self.release} lacks its file {name!r}")
            if sha256_of(path) != facts["sha256"]:
                raise ReleaseError(
                    f"{path} is not the file that was released: its checksum differs. Roll back, "
                    "or make the release again"
                )
        if self.release != self.own_id:
            raise ReleaseError(
                f"{folder / NAME} is not the manifest that was released: it says {self.release}, "
                f"its content belongs to {self.own_id}. Roll back, or make the release again"
            )


def is_release_id(name: str) -> bool:
    """Whether ``name`` has the form of a release id."""
    return RELEASE_ID.fullmatch(name) is not None


def as_release_id(name: str) -> str:
    """``name``, if it has the form of a release id.

    Raises:
        ReleaseError: it has not, so it names no folder of the registry.
    """
    if not is_release_id(name):
        raise ReleaseError(f"{name!r} is no release id, such as 20260131T120000Z-0a1b2c3d")
    return name


def hashed_files(folder: Path) -> dict[str, dict[str, Any]]:
    """SHA-256 and size of every file in ``folder`` but the manifest."""
    return {
        path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != NAME
    }
