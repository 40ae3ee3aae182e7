"""What the online store knows of a user now, read within a bound of time."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recbench.errors import InputError
from recbench.features.online.recent import RecentClicks
from recbench.features.online.state import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.serving.cores import anywhere
from recbench.serving.options import OnlinePlace

if TYPE_CHECKING:
    from recbench.features.online.redis_store import RedisStore

__all__ = ["StoreFailed", "StoredUser", "Users", "open_users"]

logger = logging.getLogger(__name__)

PAUSE_S = 1.0  # a store that failed is not asked again for so long
THREADS = 4
Clock = Callable[[], int]  # microseconds since the epoch


@dataclass(frozen=True, slots=True, eq=False)
class StoredUser:
    """The features and latest clicks of one user at one instant."""

    features: dict[str, Any]
    clicks: RecentClicks
    at_us: int


class AtOnce(Protocol):
    """``Users.read`` without waiting, for less than all of it."""

    def __call__(
        self,
        user_id: int,
        at_us: int | None,
        *,
        names: Sequence[str] | None = None,
        since_us: int | None = None,
    ) -> StoredUser:
        """With the features of these names, and the clicks later than an instant; default: all."""
        ...


class StoreFailed(Exception):  # it is no error of the caller's, and is answered
    """The store cannot tell, or not in time."""


class Users(Protocol):
    """Where the service looks its users up."""

    @property
    def at_once(self) -> AtOnce | None:
        """As ``read``, without waiting for anything; None where that cannot be."""
        ...

    async def read(self, user_id: int, *, at_us: int | None) -> StoredUser:
        """What is known of the user at an instant; default: now.

        Raises:
            StoreFailed: the store cannot tell.
        """
        ...

    def is_stale(self) -> bool:
        """Whether ``renew`` has something to do; takes microseconds."""
        ...

    def renew(self) -> None:
        """Take in what was written meanwhile; for a thread of its own."""
        ...

    def close(self) -> None:
        """Give back connections and threads."""
        ...


def open_users(place: OnlinePlace, *, timeout_s: float, now_us: Clock) -> Users:
    """The store at ``place``; it need not answer yet.

    Raises:
        InputError: no address of Redis, or no name of a store.
    """
    if place.snapshot is not None:
        return _SnapshotUsers(place.snapshot, now_us)
    from recbench.features.online.redis_store import RedisStore

    store = RedisStore(str(place.redis_url), SHIPPED_FEATURES, name=place.name, reply_s=timeout_s)
    return _RedisUsers(store, timeout_s=timeout_s, now_us=now_us)


class _SnapshotUsers:
    """The state that a follower saved last, in the memory of this process."""

    def __init__(self, path: Path, now_us: Clock) -> None:
        self._path, self._now_us = path, now_us
        self._state: OnlineState | None = None
        self._read: tuple[int, int] | None = None

    @property
    def at_once(self) -> AtOnce:
        return self._look_up

    async def read(self, user_id: int, *, at_us: int | None) -> StoredUser:
        return self._look_up(user_id, at_us)

    def _look_up(
        self,
        user_id: int,
        at_us: int | None,
        *,
        names: Sequence[str] | None = None,
        since_us: int | None = None,
    ) -> StoredUser:
        state = self._state
        if state is None:
            raise StoreFailed(f"{self._path.name} was not read yet")
        instant = self._now_us() if at_us is None else at_us
        try:
            features, clicks = state.lookup_user(
                user_id, at_us=instant, names=names, since_us=since_us
            )
        except InputError as error:
            raise StoreFailed(str(error)) from error
        return StoredUser(features, clicks, instant)

    def is_stale(self) -> bool:
        return self._written() not in {None, self._read}

    def renew(self) -> None:
        written = self._written()
        try:
            self._state = OnlineState.restore(self._path, SHIPPED_FEATURES)
        except InputError as error:  # what was read before goes on serving
            logger.warning("The online features are not read anew: %s", error)
        self._read = written

    def _written(self) -> tuple[int, int] | None:
        """Inode and time of change of the file; None where there is none."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def close(self) -> None:
        self._state = None


class _RedisUsers:
    """A store in Redis, asked from a few threads, so that a slow answer stops nobody else."""

    def __init__(self, store: "RedisStore", *, timeout_s: float, now_us: Clock) -> None:
        self._store, self._timeout_s, self._now_us = store, timeout_s, now_us
        self._threads = ThreadPoolExecutor(
            THREADS, thread_name_prefix="online-store", initializer=anywhere
        )
        self._paused_until = 0.0
        self._why = ""

    @property
    def at_once(self) -> None:
        return None

    async def read(self, user_id: int, *, at_us: int | None) -> StoredUser:
        if time.monotonic() < self._paused_until:
            raise StoreFailed(self._why)
        instant = self._now_us() if at_us is None else at_us
        loop = asyncio.get_running_loop()
        asking = loop.run_in_executor(self._threads, self._ask, user_id, instant)
        try:
            async with asyncio.timeout(self._timeout_s):
                features, clicks = await asking
        except TimeoutError as error:
            raise self._paused(f"no answer within {self._timeout_s} s") from error
        except ConnectionError as error:
            raise self._paused("Redis does not answer") from error
        except InputError as error:
            raise StoreFailed(str(error)) from error
        return StoredUser(features, clicks, instant)

    def is_stale(self) -> bool:
        return False

    def renew(self) -> None:
        pass

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def _ask(self, user_id: int, at_us: int) -> tuple[dict[str, Any], RecentClicks]:
        return self._store.lookup_user(user_id, at_us=at_us)

    def _paused(self, why: str) -> StoreFailed:
        self._paused_until, self._why = time.monotonic() + PAUSE_S, why
        return StoreFailed(why)
