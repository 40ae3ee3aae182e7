"""What was shown goes back to Kafka, beside the requests: it never makes one wait or fail."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from recbench.serving.answer import Chances
from recbench.serving.idle import made_politely
from recbench.serving.options import ExposureLog

__all__ = ["Exposures", "KafkaExposures", "NoExposures", "exposure_messages"]

logger = logging.getLogger(__name__)

FLUSH_S = 5.0
SETTINGS: dict[str, Any] = {
    # what gathers meanwhile is compressed and sent at once: few wake-ups beside the requests
    "linger.ms": 100,
    "compression.type": "lz4",
    "acks": "all",
    "message.timeout.ms": 30_000,  # what could not be delivered until then is given up
    "delivery.report.only.error": True,  # a call back into Python for failures alone
}


class Exposures(Protocol):
    """Takes note of what was shown."""

    def shown(
        self,
        item_ids: list[int],
        *,
        user_id: int | None,
        request_id: int,
        release: str,
        served: Mapping[str, Any],
        ts_us: int,
        chances: Chances | None = None,
    ) -> None:
        """Queue one event an item; what finds no room is counted and let go.

        ``ts_us``, microseconds since the epoch, is from before the answer is sent: whoever clicks
        it does so later.
        """
        ...

    def poll(self) -> None:
        """Hear of failures; now and then."""
        ...

    def close(self) -> None:
        """Send what waits, within a few seconds."""
        ...


class NoExposures:
    """Nobody wants to know."""

    def shown(self, item_ids: list[int], **_: Any) -> None:
        """Nothing."""

    def poll(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class KafkaExposures:
    """Exposures as events of a topic; the queue in memory is the only place where they wait.

    Args:
        log: where to.
        count: told of (outcome, number): "queued", then perhaps "failed"; or "dropped" where the
            queue is full, "anonymous" where there is no user whose event it could be.

    Raises:
        InputError: librdkafka refuses a setting.
    """

    def __init__(self, log: ExposureLog, count: Callable[[str, int], None]) -> None:
        from confluent_kafka import KafkaException, Producer

        from recbench.errors import InputError

        own = SETTINGS | {
            "bootstrap.servers": log.bootstrap_servers,
            "queue.buffering.max.messages": log.queue,
            "logger": logger,
            "error_cb": lambda error: logger.info("%s", error),
            "on_delivery": self._failed,
        }
        try:
            # its own threads compress and send: a request comes first
            self._producer = made_politely(lambda: Producer(own | dict(log.settings)))
        except KafkaException as error:
            raise InputError(
                f"librdkafka refuses the settings (-X): {error.args[0].str()}"
            ) from error
        self._topic, self._count = log.topic, count

    def shown(
        self,
        item_ids: list[int],
        *,
        user_id: int | None,
        request_id: int,
        release: str,
        served: Mapping[str, Any],
        ts_us: int,
        chances: Chances | None = None,
    ) -> None:
        """Queue one event an item; what finds no room is counted and let go."""
        if user_id is None:
            self._count("anonymous", len(item_ids))
            return
        key, n_queued = b"%d" % user_id, 0
        messages = exposure_messages(
            item_ids,
            user_id=user_id,
            request_id=request_id,
            release=release,
            served=served,
            chances=chances,
            ts_us=ts_us,
        )
        try:
            for message in messages:
                self._producer.produce(self._topic, message, key)
                n_queued += 1
        except BufferError:  # the queue is full
            self._count("dropped", len(messages) - n_queued)
        self._count("queued", n_queued)

    def poll(self) -> None:
        """Hear of failures; now and then."""
        self._producer.poll(0)

    def close(self) -> None:
        """Send what waits, within a few seconds."""
        left = self._producer.flush(FLUSH_S)
        if left:
            self._count("dropped", left)
            self._producer.purge()

    def _failed(self, error: Any, _: Any) -> None:
        if error is not None:
            self._count("failed", 1)


def exposure_messages(
    item_ids: list[int],
    *,
    user_id: int,
    request_id: int,
    release: str,
    served: Mapping[str, Any],
    ts_us: int,
    chances: Chances | None = None,
) -> list[bytes]:
    """One message an item, as ``recbench.events.messages`` reads them.

    A slot that is filled by rule has a null propensity, and is marked so. ``slot_propensity`` and
    ``least_propensity`` come with lists of which chance filled a slot, ``context`` and ``towers``
    with those that a policy decided, ``floor_kept``, ``floor_chance`` and ``protected`` where there
    is a floor.
    """
    features = {name: _whole(value) for name, value in served.items()}
    common = orjson.dumps(
        {
            "user_id": user_id,
            "ts": ts_us,
            "clicked": False,
            "request_id": request_id,
            "release": release,
            "features": features,
        }
    )[:-1]  # the brace comes after what differs
    if chances is None:
        return [
            b'%b,"item_id":%d,"position":%d,"propensity":null}' % (common, item_id, position)
            for position, item_id in enumerate(item_ids)
        ]
    return [
        b"%b,%b" % (common, _drawn_item(item_id, position, chances))
        for position, item_id in enumerate(item_ids)
    ]


def _drawn_item(item_id: int, position: int, chances: Chances) -> bytes:
    """The end of a message, without the opening brace."""
    fields: dict[str, Any] = {
        "item_id": item_id,
        "position": position,
        "propensity": chances.propensities[position],
        "slot_propensity": chances.slot_propensities[position],
        "least_propensity": chances.least,
    }
    if chances.contexts is not None:
        fields |= {"context": chances.contexts[position], "towers": chances.towers}
    if chances.floor is not None:
        fields |= {"floor_kept": chances.floor.is_kept, "floor_chance": chances.floor.chance}
        fields["protected"] = chances.floor.is_protected[position]
    return orjson.dumps(fields)[1:]


def _whole(value: float) -> float | int:
    """Counts are integers where they are read again."""
    return int(value) if value == int(value) else value
