"""A consumer group that waits for a leader who has left, and how it is freed of it.

Kafka chooses another leader when the one it has leaves. Tansu 0.6 does so only in a group whose
partitions are shared out. While they are not, a leader that leaves is taken out of the members and
is the leader still: whoever joins is told to wait for it, for ever. So it is after a Ctrl-C in the
first seconds, and after two members were stopped at once. (A killed one is no such case: its
session ends, and then the group has no leader.)
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from recbench.events.broker import EMBEDDED_CLUSTER

__all__ = ["GroupRescue"]

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0  # who joins alone is served after 3 s
ANSWER_S = 5.0


class GroupRescue:
    """Has the embedded broker forget a group that shares nothing out; its members join anew.

    Another broker is never asked to. The patience doubles each time.

    Args:
        settings: of librdkafka: the broker's address and whatever it asks for.
        group: its name.
    """

    def __init__(self, settings: Mapping[str, Any], group: str) -> None:
        self._settings, self._group = settings, group
        self._patience_s = PATIENCE_S
        self._since: float | None = None  # when the wait began; None while there is none

    def begin(self) -> None:
        """We wait for a share of the partitions from now on."""
        self._since = time.monotonic()

    def end(self) -> None:
        """We were given a share, be it none of them."""
        self._since, self._patience_s = None, PATIENCE_S

    def look(self) -> None:
        """See whether the wait is too long; called now and then."""
        if self._since is None or time.monotonic() - self._since < self._patience_s:
            return
        self._since = time.monotonic()
        self._patience_s *= 2
        admin = AdminClient(dict(self._settings))
        try:
            cluster = admin.list_topics(timeout=ANSWER_S).cluster_id
            if str(cluster).startswith(EMBEDDED_CLUSTER):
                logger.info("Group `%s` waits for a leader who has left: made anew", self._group)
                asked = admin.delete_consumer_groups([self._group], request_timeout=ANSWER_S)
                asked[self._group].result()
        except KafkaException as error:
            logger.info("%s", error)
