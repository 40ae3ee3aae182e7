"""Messages of one topic, from offsets that the caller names, shared out among a group's members."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from recbench.errors import InputError
from recbench.events.group_rescue import GroupRescue
from recbench.events.messages import Messages

__all__ = ["MOST_AT_ONCE", "SETTINGS", "Ownership", "TopicReader"]

Partitions: TypeAlias = npt.NDArray[np.int32]
Offsets: TypeAlias = npt.NDArray[np.int64]

logger = logging.getLogger(__name__)

UNREACHABLE = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT}
MOST_AT_ONCE = 10_000
TIMEOUT_S = 30.0
ASK_S, ASK_EVERY_S = 0.2, 1.0
SETTINGS: dict[str, str | int | bool] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "error",  # offsets come from the lake; one that is gone must be told
    "session.timeout.ms": 6_000,
    "fetch.queue.backoff.ms": 10,  # a full queue is looked at again soon, not after a second
    "queued.max.messages.kbytes": 65_536,  # what is read ahead; the rest waits in the broker
}


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the caller is told when the group shares the partitions out anew.

    ``gained`` returns the offset at which to start each partition; one left out starts at its
    beginning.
    ``leaving`` is the last moment to finish what was read, ``lost`` comes too late for that.
    """

    gained: Callable[[Sequence[int]], Mapping[int, int]]
    leaving: Callable[[], None]
    lost: Callable[[], None]


class TopicReader:
    """A Kafka consumer that starts where it is told.

    Args:
        settings: of librdkafka: the broker's address and whatever it asks for.
        topic: must exist.
        group: members of one group share the partitions; None reads all of them alone.
        ownership: called from within ``read``.
        skip_deleted: whether to go on where the broker begins when it has deleted messages that
            were not read yet.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        topic: str,
        *,
        group: str | None,
        ownership: Ownership,
        skip_deleted: bool = False,
    ) -> None:
        self.topic = topic
        self.unreachable: str | None = None  # why no broker answers; None while one does
        self.at: dict[int, int] = {}  # the next offset to read of each partition held
        self._begun: dict[int, int] = {}  # where each partition held was begun
        self._ends: dict[int, int] = {}  # where each partition held ended at the first answer
        self._old_ends: dict[int, int | None] = {}  # told when a partition was held before
        self._asked_at = 0.0
        self._ownership = ownership
        self._skip_deleted = skip_deleted
        errors = {"error_cb": self._note_error, "logger": logger}
        name = group or f"recbench-{uuid.uuid4().hex}"  # librdkafka wants one in any case
        self._rescue = GroupRescue(settings, name)
        self._consumer = Consumer(SETTINGS | dict(settings) | {"group.id": name} | errors)
        if group is not None:
            self._rescue.begin()
            self._consumer.subscribe(
                [topic], on_assign=self._gain, on_revoke=self._leave, on_lost=self._lose
            )
            return
        known = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        self._gain(self._consumer, [TopicPartition(topic, p) for p in sorted(known.partitions)])

    def read(self, at_most: int = MOST_AT_ONCE, *, timeout_s: float) -> Messages:
        """The next messages; none if there are none within ``timeout_s``.

        Raises:
            InputError: the offset to go on from is not in the broker any more, or not yet.
            KafkaException: what cannot be mended by waiting, such as a refused login.
        """
        found = self._consumer.consume(min(at_most, MOST_AT_ONCE), timeout=timeout_s)
        if self.unreachable and (found or self._answers()):
            self.unreachable = None
        if not self.unreachable:
            self._rescue.look()
        self._note_ends()
        good = [message for message in found if message.error() is None]
        if len(good) < len(found):
            for message in found:
                self._raise_if_final(message)
        partitions = np.array([message.partition() for message in good], dtype=np.int32)
        offsets = np.array([message.offset() for message in good], dtype=np.int64)
        fresh = self._fresh(partitions, offsets)
        if not fresh.all():
            good = [message for message, is_fresh in zip(good, fresh, strict=True) if is_fresh]
        return Messages(
            values=[message.value() for message in good],
            keys=[message.key() for message in good],
            partitions=partitions[fresh],
            offsets=offsets[fresh],
            arrived_ms=_arrived_ms(good),
        )

    def _answers(self) -> bool:
        """Whether the broker is there again, asked about once a second."""
        if time.monotonic() - self._asked_at < ASK_EVERY_S:
            return False
        self._asked_at = time.monotonic()
        try:
            self._consumer.list_topics(self.topic, timeout=ASK_S)
        except KafkaException:
            return False
        return True

    def _fresh(self, partitions: Partitions, offsets: Offsets) -> npt.NDArray[np.bool_]:
        """Which messages go on where the last ones ended; moves the ends on.

        When partitions change hands within one read, messages of before may stand among those of
        after, and come once more.
        """
        fresh = np.zeros(len(offsets), dtype=np.bool_)
        for partition in np.unique(partitions).tolist():
            if partition not in self.at:
                continue
            rows = np.flatnonzero(partitions == partition)
            ends = np.maximum.accumulate(np.concatenate([[self.at[partition] - 1], offsets[rows]]))
            fresh[rows] = offsets[rows] > ends[:-1]
            self.at[partition] = int(ends[-1]) + 1
        return fresh

    def lag(self) -> int | None:
        """Messages in the broker that were not read yet; None before it told where all held end."""
        lag = 0
        for partition, at in self.at.items():
            if (end := self._end(partition)) is None:
                return None
            lag += max(end - at, 0)
        return lag

    def is_at_end(self) -> bool:
        """Whether every partition held was read up to where it ended at the first answer."""
        told = self._ends.keys() >= self.at.keys()
        return bool(self.at) and told and all(at >= self._ends[p] for p, at in self.at.items())

    def _note_ends(self) -> None:
        for partition in self.at.keys() - self._ends.keys():
            end = self._end(partition)
            if end is None:
                continue
            if end < self._begun[partition]:
                if end == self._old_ends[partition]:
                    continue  # told before others read on from there
                raise self._gone(partition, self._begun[partition], low=0)
            self._ends[partition] = end

    def _end(self, partition: int) -> int | None:
        """Where the partition ends; None before the first answer that tells.

        Told with every answer to a fetch. Not asked for: some brokers forget their last batch then.
        """
        place = TopicPartition(self.topic, partition)
        found = self._consumer.get_watermark_offsets(place, cached=True)
        return found[1] if found is not None and found[1] >= 0 else None

    def go_to(self, offsets: Mapping[int, int]) -> None:
        """Go on from these offsets; a partition without one from where it was begun."""
        for partition, begun in self._begun.items():
            offset = offsets.get(partition, begun)
            self._consumer.seek(TopicPartition(self.topic, partition, offset))
            self.at[partition] = offset

    def tell_group(self, offsets: Mapping[int, int]) -> None:
        """Let the broker know, for whoever watches its groups; nothing here depends on it."""
        places = [TopicPartition(self.topic, p, offset) for p, offset in offsets.items()]
        if places:
            self._consumer.commit(offsets=places, asynchronous=True)

    def close(self) -> None:
        """Leave the group; its other members get the partitions at once."""
        self._consumer.close()

    def _gain(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._rescue.end()
        starts = self._ownership.gained([place.partition for place in places])
        self._forget()
        for place in places:
            low, _ = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
            start = starts.get(place.partition, low)
            if start < low and not self._skip_deleted:
                raise self._gone(place.partition, start, low=low)
            place.offset = self.at[place.partition] = max(start, low)
        self._begun = dict(self.at)
        self._old_ends = {partition: self._end(partition) for partition in self.at}
        consumer.assign(places)

    def _gone(self, partition: int, at: int, *, low: int) -> InputError:
        name = f"Partition {partition} of topic `{self.topic}`"
        if at < low:
            return InputError(
                f"{name} begins at offset {low}, but its messages were read up to {at} only: the "
                f"broker has deleted {low - at} of them. Go on without them with --skip-deleted"
            )
        return InputError(
            f"{name} has no offset {at} yet, but its messages were read up to there: the topic was "
            "made anew. Give the new one a stream of its own with --stream"
        )

    def _leave(self, *_: object) -> None:
        self._ownership.leaving()
        self._forget()
        self._rescue.begin()

    def _lose(self, *_: object) -> None:
        self._ownership.lost()
        self._forget()
        self._rescue.begin()

    def _forget(self) -> None:
        self.at, self._begun, self._ends = {}, {}, {}

    def _note_error(self, error: KafkaError) -> None:
        logger.info("%s", error)
        if error.code() in UNREACHABLE:
            self.unreachable = str(error.str())

    def _raise_if_final(self, message: Message) -> None:
        error = message.error()
        if error is None:
            return
        self._note_error(error)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            partition = message.partition()
            assert partition is not None  # the error is of one
            place = TopicPartition(self.topic, partition)
            low, _ = self._consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
            raise self._gone(partition, self.at.get(partition, 0), low=low)
        if error.code() not in UNREACHABLE and (error.fatal() or not error.retriable()):
            raise KafkaException(error)


def _arrived_ms(messages: Sequence[Message]) -> list[int]:
    """When each message came, as the broker or its producer says; now, where neither does."""
    told = [message.timestamp()[1] for message in messages]
    if min(told, default=0) >= 0:
        return told
    now_ms = int(time.time() * 1_000)
    return [now_ms if at < 0 else at for at in told]
