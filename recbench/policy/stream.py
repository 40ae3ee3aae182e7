"""Kafka to a bandit: topics read from where its snapshot stands, and the snapshot written again.

Offsets are in the snapshot, with the very sums that the rows before them went into: a learner that
is killed at any moment goes on as if it had not been, and no event counts twice or not at all.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbench import columns as c
from recbench.errors import InputError
from recbench.events.message_types import FieldType
from recbench.events.messages import MessageDecoder
from recbench.events.reader import MOST_AT_ONCE, Ownership, TopicReader
from recbench.policy.learner import Learner

__all__ = ["FIELDS", "LearningStatus", "StreamLearning"]

POLL_S = 0.02
REPORT_EVERY_S = 1.0
IDLE_S = 5.0  # a partition that brings nothing for so long does not hold the others back
LONGEST_S = 0.1  # of a step, as far as silence goes: who was asleep has not listened
FIELDS: dict[str, FieldType] = {  # of an exposure, beside the canonical ones
    c.CONTEXT: "string",
    c.SLOT_PROPENSITY: "float",
    c.TOWERS: "string",
    c.PROTECTED: "bool",
    c.FLOOR_KEPT: "bool",
    c.FLOOR_CHANCE: "float",
    "least_propensity": "float",
    "release": "string",
}


@dataclass(slots=True)
class LearningStatus:
    """How far a learner is."""

    n_rows: int = 0  # since it was started
    n_dead_letters: int = 0
    lag: int | None = None  # None: not known
    rows_per_s: float = 0.0
    unreachable: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)  # as of ``Learner.told``
    warnings: Sequence[str] = ()
    _seen: tuple[float, int] = field(default_factory=lambda: (time.monotonic(), 0), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Every field by name."""
        names = ("n_rows", "n_dead_letters", "lag", "unreachable")
        values = {name: getattr(self, name) for name in names}
        rate = {"rows_per_s": round(self.rows_per_s, 1)}
        return values | rate | {"warnings": list(self.warnings)} | dict(self.told)


class StreamLearning:
    """Has one learner read topics, and keeps its snapshot.

    Args:
        learner: new.
        path: of the snapshot, which is taken up where it is there.
        cluster: the broker's id; offsets count in it.
        topics: of exposures and actions; one, or several.
        settings: of librdkafka.
        every_s: between two snapshots, seconds.
        idle_s: after so long a partition that brings nothing does not hold the watermark back.
        on_status: called about every second, and at the end.
        batch_rows: how many messages at most are taken in at once.
    """

    def __init__(
        self,
        learner: Learner,
        path: Path,
        *,
        cluster: str,
        topics: Sequence[str],
        settings: Mapping[str, Any],
        every_s: float = 5.0,
        idle_s: float = IDLE_S,
        on_status: Callable[[LearningStatus], None] = lambda _: None,
        batch_rows: int = MOST_AT_ONCE,
    ) -> None:
        self.learner, self.path, self.status = learner, path, LearningStatus()
        self._sources = {topic: f"{cluster}/{topic}" for topic in topics}
        self._decoders = {t: MessageDecoder(s, fields=FIELDS) for t, s in self._sources.items()}
        self._settings, self._on_status, self._batch_rows = settings, on_status, batch_rows
        self._every_s, self._idle_s = every_s, idle_s
        self._quiet_s: dict[str, float] = {}  # partition -> for how long it brought nothing
        self._stepped_at: dict[str, float] = {}
        self._saved_at = self._reported_at = time.monotonic()
        self._is_saved = True

    def run(self, stop: threading.Event, *, until_end: bool = False) -> LearningStatus:
        """Learn until ``stop`` is set; what was read by then is in the snapshot.

        Args:
            stop: checked many times a second.
            until_end: stop by itself where the topics ended when the reading began.

        Raises:
            InputError: the snapshot is of other topics, or their offsets do not go on there.
        """
        if self.path.exists():
            self.learner.restore(self.path)
            self._check_sources()
        readers: dict[str, TopicReader] = {}
        try:
            for topic in self._sources:
                readers[topic] = self._opened(topic)
            while not stop.is_set():
                for topic, reader in readers.items():
                    self._step(topic, reader)
                self._keep()
                self._report(readers)
                if until_end and all(reader.is_at_end() for reader in readers.values()):
                    break
            self._keep(now=True)
            self._report(readers, now=True)
        finally:
            for reader in readers.values():
                reader.close()
        return self.status

    def _opened(self, topic: str) -> TopicReader:
        source = self._sources[topic]

        def gained(partitions: Sequence[int]) -> dict[int, int]:
            places = {p: f"{source}[{p}]" for p in partitions}
            self.learner.expect(places.values())
            self._quiet_s |= dict.fromkeys(places.values(), 0.0)
            found = self.learner.offsets
            return {p: found[place] for p, place in places.items() if place in found}

        nothing = Ownership(gained, leaving=lambda: None, lost=lambda: None)
        return TopicReader(self._settings, topic, group=None, ownership=nothing)

    def _step(self, topic: str, reader: TopicReader) -> None:
        messages = reader.read(self._batch_rows, timeout_s=POLL_S)
        source = self._sources[topic]
        self._listen(reader, source, set(messages.partitions.tolist()))
        if not len(messages):
            return
        decoded = self._decoders[topic].decode(messages)
        self.learner.feed(decoded.events, source=source)
        self.status.n_rows += len(decoded.events)
        self.status.n_dead_letters += len(decoded.dead_letters)
        self._is_saved = False

    def _listen(self, reader: TopicReader, source: str, brought: set[int]) -> None:
        """Know which partitions have been silent, while the broker answered and had no more."""
        now = time.monotonic()
        passed = min(now - self._stepped_at.get(source, now), LONGEST_S)
        self._stepped_at[source] = now
        is_whole = not reader.unreachable and reader.lag() == 0
        for partition in reader.at:
            place = f"{source}[{partition}]"
            is_quiet = is_whole and partition not in brought
            self._quiet_s[place] = self._quiet_s[place] + passed if is_quiet else 0.0
        self.learner.idle = {p for p, quiet in self._quiet_s.items() if quiet >= self._idle_s}

    def _keep(self, *, now: bool = False) -> None:
        """The snapshot, where there is something new, now and then."""
        if not (now or time.monotonic() - self._saved_at >= self._every_s):
            return
        if self.learner.learn_what_is_whole():  # what idle partitions have held back
            self._is_saved = False
        if self._is_saved and self.path.exists():
            return
        self.learner.save(self.path)
        self._saved_at, self._is_saved = time.monotonic(), True

    def _check_sources(self) -> None:
        foreign = {place.rpartition("[")[0] for place in self.learner.offsets}
        foreign -= set(self._sources.values())
        if foreign:
            raise InputError(
                f"{self.path} was learnt from {sorted(foreign)[0]}, which is none of "
                f"{sorted(self._sources.values())}: give these a snapshot of their own (--out)"
            )

    def _report(self, readers: Mapping[str, TopicReader], *, now: bool = False) -> None:
        at, (then, before) = time.monotonic(), self.status._seen
        if not now and at - self._reported_at < REPORT_EVERY_S:
            return
        self._reported_at, status = at, self.status
        status.rows_per_s = (status.n_rows - before) / max(at - then, 1e-9)
        status._seen = (at, status.n_rows)
        lags = [reader.lag() for reader in readers.values()]
        known = [lag for lag in lags if lag is not None]
        status.lag = sum(known) if len(known) == len(lags) else None
        away = (reader.unreachable for reader in readers.values())
        status.unreachable = next((why for why in away if why), None)
        status.told, status.warnings = self.learner.told(), self.learner.warnings()
        self._on_status(status)
