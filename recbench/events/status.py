"""What is seen of a running ingester: counts, speed, lag and watermark."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from recbench.events.intake import Taken

__all__ = ["IngestStatus"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
State = Literal[
    "starting", "running", "waiting for partitions", "broker unreachable", "stopped", "failed"
]


@dataclass(slots=True)
class IngestStatus:
    """Counts are of this process, and of committed messages only."""

    state: State = "starting"
    problem: str | None = None
    n_messages: int = 0
    n_events: int = 0
    n_dead_letters: int = 0
    n_duplicates: int = 0
    n_late: int = 0
    n_overtaken: int = 0  # batches dropped because another ingester was first
    n_commits: int = 0
    lag: int | None = None  # messages in the broker that were not read yet; None: not known
    messages_per_s: float = 0.0
    version: int | None = None  # of the events table
    watermark: datetime | None = None
    partitions: list[int] = field(default_factory=list)
    _seen: tuple[float, int] = field(default_factory=lambda: (time.monotonic(), 0), repr=False)

    def committed(self, taken: Iterable[Taken], *, version: int, n_messages: int) -> None:
        """Count what a commit brought into the lake."""
        for one in taken:
            self.n_events += len(one.events)
            self.n_dead_letters += len(one.dead_letters)
            self.n_duplicates += one.n_duplicates
            self.n_late += one.n_late
        self.n_messages += n_messages
        self.n_commits += 1
        self.version = version

    def observe(
        self,
        *,
        lag: int | None,
        watermark_us: int | None,
        partitions: Sequence[int],
        unreachable: str | None,
    ) -> None:
        """Note how things stand, and the speed since the last time."""
        now, (then, before) = time.monotonic(), self._seen
        if now > then:
            self.messages_per_s = (self.n_messages - before) / (now - then)
        self._seen = (now, self.n_messages)
        self.lag, self.partitions = lag, list(partitions)
        if watermark_us is not None:
            self.watermark = EPOCH + timedelta(microseconds=watermark_us)
        if self.state not in {"stopped", "failed"}:
            self.problem = unreachable
            if unreachable:
                self.state = "broker unreachable"
            else:
                self.state = "running" if partitions else "waiting for partitions"

    def failed(self, reason: str) -> None:
        """Note why the ingester ends."""
        self.state, self.problem = "failed", reason

    def to_json(self) -> dict[str, Any]:
        """Every field by name; the watermark in ISO 8601."""
        watermark = self.watermark.isoformat() if self.watermark is not None else None
        values = {name: getattr(self, name) for name in self.__slots__ if name != "_seen"}
        return values | {"watermark": watermark, "messages_per_s": round(self.messages_per_s, 1)}
