"""The connection to Redis, and the names of the keys of a store."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from recbench.errors import InputError

__all__ = ["REPLY_S", "Keys", "RedisLink"]

REPLY_S = 10.0  # a large batch is written in one transaction
NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of the store called ``name``."""

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that would not stand alone in a pattern."""
        if not NAME.fullmatch(self.name):
            raise InputError(f"`name` must match {NAME.pattern}, got {self.name!r}")

    @property
    def head(self) -> str:
        """Where features, watermark and positions are."""
        return f"{self.name}:head"

    @property
    def writer(self) -> str:
        """Who may write."""
        return f"{self.name}:writer"

    def strings(self, column: str) -> str:
        """Where the strings of a column are, by code."""
        return f"{self.name}:strings:{column}"

    def entity(self, entity: str, id_: int | str) -> str:
        """Where one entity is; with ``*`` all of them."""
        return f"{self.name}:{entity}:{id_}"


class RedisLink:
    """A client that says where Redis was looked for when it does not answer."""

    def __init__(self, url: str, *, reply_s: float = REPLY_S) -> None:
        try:
            # a connection that Redis closed is opened again, once; its types leave open whether
            # replies are bytes or strings: these are bytes
            self.client: Any = redis.Redis.from_url(
                url, socket_timeout=reply_s, retry=Retry(NoBackoff(), 1)
            )
        except ValueError as error:
            raise InputError(f"`url` is no address of Redis: {error}") from error
        options = self.client.connection_pool.connection_kwargs
        # never the whole url: it may hold a password
        self.address = options.get("path") or f"{options.get('host')}:{options.get('port')}"

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Turn what redis-py raises when Redis is away into a ConnectionError of Python's own."""
        try:
            yield
        except redis.WatchError as error:
            if not isinstance(error.__context__, redis.ConnectionError | redis.TimeoutError):
                raise
            raise self._away(error.__context__) from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> ConnectionError:
        return ConnectionError(
            f"Redis at {self.address} does not answer: {error}. Once it is back, reading goes on "
            "by itself and updates from `positions`"
        )
