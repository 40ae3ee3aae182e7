"""An online store in Redis: one process writes, any number of servers read."""

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import polars as pl

from recbench.errors import InputError
from recbench.features.definitions import Entity, Feature
from recbench.features.online.recent import RecentClicks
from recbench.features.online.redis_link import REPLY_S, Keys, RedisLink
from recbench.features.online.redis_reader import RedisReader
from recbench.features.online.redis_writer import RedisWriter
from recbench.features.online.state import Limits
from recbench.features.online.store import Ids, Instants, Updated

__all__ = ["RedisStore"]

LOCK_S = 30.0


class RedisStore:
    """The features of all entities as the last update left them, for every process that asks.

    The first ``update`` makes this the writer: it loads what Redis holds and keeps it in memory,
    an ``OnlineState``; each further one writes the entities that it touched, the positions and the
    watermark in one transaction. Lookups read from Redis and compute as the state does, so that
    the numbers are the same. Nothing expires by the clock but the writer's lock: a stream that
    stood still for a day has lost no window. What the state drops is deleted with the next update.

    Args:
        url: such as ``redis://127.0.0.1:6379/0``.
        features: those the store was made for; units may differ.
        name: of the store; its keys begin with it.
        lock_s: so long after its last update the writer may be replaced, seconds.
        reply_s: how long Redis may take for one answer, seconds.
        limits: of the writer's state.

    Raises:
        InputError: no address of Redis, a name that cannot be one, or features that no state takes.
    """

    def __init__(
        self,
        url: str,
        features: Sequence[Feature],
        *,
        name: str = "online",
        lock_s: float = LOCK_S,
        reply_s: float = REPLY_S,
        **limits: Unpack[Limits],
    ) -> None:
        if lock_s <= 0:
            raise InputError(f"`lock_s` must be positive, got {lock_s}")
        self._link, keys = RedisLink(url, reply_s=reply_s), Keys(name)
        self._reader = RedisReader(self._link, keys, features)
        self._writer = RedisWriter(self._link, keys, features, lock_s=lock_s, limits=limits)
        self._writing = threading.Lock()

    @property
    def watermark_us(self) -> int | None:
        """From which instant on lookups are exact; None: from any."""
        head = self._reader.head()
        return None if head is None else head["watermark_us"]

    @property
    def positions(self) -> Mapping[str, int]:
        """Where to go on reading: partition of the stream -> next offset."""
        head = self._reader.head()
        return {} if head is None else head["positions"]

    def update(
        self,
        events: pl.DataFrame,
        *,
        positions: Mapping[str, int] | None = None,
        watermark_us: int | None = None,
    ) -> Updated:
        """As ``OnlineState.update``; in Redis, all or nothing, once it returns.

        After any error but InputError, ``positions`` tells whether Redis has the rows.

        Raises:
            InputError: as for ``OnlineState.update``, or another writer holds the lock.
            JobError: another writer took over, or Redis lost what this one had written.
            ConnectionError: Redis does not answer.
        """
        with self._writing:
            return self._writer.update(events, positions=positions, watermark_us=watermark_us)

    def lookup(self, entity: Entity, id_: int | str | None, *, at_us: int) -> dict[str, Any]:
        """As ``OnlineState.lookup``.

        Raises:
            InputError: as there, or there is no store of this name, or one of other features.
            ConnectionError: Redis does not answer.
        """
        return self._reader.one(entity, id_, at_us=at_us)

    def lookup_user(self, user_id: int, *, at_us: int) -> tuple[dict[str, Any], RecentClicks]:
        """As ``OnlineState.lookup_user``, in one round trip; errors as for ``lookup``."""
        return self._reader.user(user_id, at_us=at_us)

    def lookup_many(self, entity: Entity, ids: Ids, *, at_us: Instants) -> pl.DataFrame:
        """As ``OnlineState.lookup_many``, in one round trip; errors as for ``lookup``."""
        return self._reader.many(entity, ids, at_us=at_us)

    def close(self) -> None:
        """Hand back the writer's lock, if this is the writer, and the connections."""
        with self._writing:
            self._writer.close()
        self._link.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
