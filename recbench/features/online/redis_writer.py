"""The one writer of a store in Redis."""

import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import redis

from recbench.errors import InputError, JobError
from recbench.features.definitions import Feature
from recbench.features.online.packed import packed
from recbench.features.online.redis_link import Keys, RedisLink
from recbench.features.online.redis_load import loaded
from recbench.features.online.snapshots import require_same_features
from recbench.features.online.state import Limits, OnlineState
from recbench.features.online.store import Updated
from recbench.features.online.tables import Changes

__all__ = ["RedisWriter"]


class RedisWriter:
    """Holds the state in memory and writes what changes, with the positions, in one transaction.

    A key with an expiry says who writes. Every transaction is made only while that key, watched,
    names this writer, or nobody and nothing was written by another one: who was paused for longer
    than that and has been replaced writes nothing more. What Redis holds is what counts: after a
    failure the state is read from there again.
    """

    def __init__(
        self,
        link: RedisLink,
        keys: Keys,
        features: Sequence[Feature],
        *,
        lock_s: float,
        limits: Limits,
    ) -> None:
        self._link, self._keys = link, keys
        self._features, self._limits = features, limits
        self._lock_ms = int(lock_s * 1000)
        self._token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}".encode()
        self._state: OnlineState | None = None
        self._commits = 0  # of the store's life, up to the one that the state stands at
        self._n_strings: dict[str, int] = {}  # in Redis, of each column

    def update(
        self, events: pl.DataFrame, *, positions: Mapping[str, int] | None, watermark_us: int | None
    ) -> Updated:
        """As ``OnlineState.update``; in Redis once it returns."""
        try:
            with self._link.reachable():
                state = self._ready()
            updated, changes = state.apply(events, positions=positions, watermark_us=watermark_us)
            with self._link.reachable():
                self._commit(state, changes)
        except InputError:
            raise  # nothing has changed
        except BaseException:
            self._state = None
            raise
        return updated

    def close(self) -> None:
        """Let another writer begin at once."""
        self._state = None
        with self._link.reachable(), self._link.client.pipeline() as pipe:
            pipe.watch(self._keys.writer)
            if pipe.get(self._keys.writer) == self._token:
                pipe.multi()
                pipe.delete(self._keys.writer)
                _executed(pipe)  # or it has expired meanwhile

    def _ready(self) -> OnlineState:
        """The state as Redis has it, once nobody else may write."""
        if (holder := self._holder()) != self._token:
            if self._state is not None:
                raise self._replaced()
            raise InputError(
                f"{self._keys.name!r} in Redis at {self._link.address} has a writer, "
                f"{holder.decode()}; close it, or wait until its lock expires"
            )
        raw = self._link.client.get(self._keys.head)
        head = None if raw is None else json.loads(raw)
        if self._state is None:
            self._state, self._commits = self._loaded(head), _commits(head)
        else:
            self._require_own(head)
        return self._state

    def _holder(self) -> bytes:
        """Whose the lock is: ours for the whole of its time, where nobody else has it."""
        client, key = self._link.client, self._keys.writer
        while not client.set(key, self._token, nx=True, px=self._lock_ms):
            if (holder := client.get(key)) is None:
                continue  # it has just expired
            if holder == self._token:
                client.pexpire(key, self._lock_ms)
            return bytes(holder)
        return self._token

    def _require_own(self, head: Mapping[str, Any] | None) -> None:
        """Refuse to go on from what another writer has left."""
        if (commits := _commits(head)) != self._commits:
            raise JobError(
                f"{self._keys.name!r} in Redis at {self._link.address} is at commit {commits}, but "
                f"this writer made {self._commits}; read on from its `positions`"
            )

    def _commit(self, state: OnlineState, changes: Changes) -> None:
        n_strings = {name: len(held) for name, held in state.tables.types.strings.items()}
        head = state.header() | {"commits": self._commits + 1, "n_strings": n_strings}
        commands = [*self._commands(state, changes), ["SET", self._keys.head, json.dumps(head)]]
        with self._link.client.pipeline() as pipe:
            while not self._written(pipe, commands):
                continue  # the lock expired, or went to another one: it is looked at again
        self._commits, self._n_strings = self._commits + 1, n_strings

    def _written(self, pipe: Any, commands: Sequence[Sequence[Any]]) -> bool:
        """Whether the transaction was made; a lock that nobody took meanwhile is ours again."""
        pipe.watch(self._keys.writer, self._keys.head)
        holder, raw = pipe.get(self._keys.writer), pipe.get(self._keys.head)
        if holder not in {self._token, None}:
            raise self._replaced()
        self._require_own(None if raw is None else json.loads(raw))
        pipe.multi()
        for command in commands:
            pipe.execute_command(*command)
        pipe.set(self._keys.writer, self._token, px=self._lock_ms)
        return _executed(pipe)

    def _commands(self, state: OnlineState, changes: Changes) -> list[list[Any]]:
        keys, types = self._keys, state.tables.types
        commands: list[list[Any]] = []
        dropped = [
            keys.entity(entity, id_) for entity, ids in changes.dropped.items() for id_ in ids
        ]
        if dropped:
            commands.append(["DEL", *dropped])
        written: list[str | bytes] = []
        for entity, rows in changes.touched.items():
            table = state.tables.by_entity[entity]
            ids = table.named(table.index.ids[rows])
            for id_, row in zip(ids, rows.tolist(), strict=True):
                written += [keys.entity(entity, id_), packed(table, row)]
        if written:
            commands.append(["MSET", *written])
        for column, strings in types.strings.items():
            new = strings.strings[self._n_strings.get(column, 0) :]
            if new:
                commands.append(["RPUSH", keys.strings(column), *new])
        return commands

    def _loaded(self, head: Mapping[str, Any] | None) -> OnlineState:
        self._n_strings = {} if head is None else dict(head["n_strings"])
        if head is None:
            return OnlineState(self._features, **self._limits)
        require_same_features(self._features, head)
        saved = loaded(self._link.client, self._keys, head)
        return OnlineState.resumed(saved, self._features, **self._limits)

    def _replaced(self) -> JobError:
        return JobError(
            f"{self._keys.name!r} in Redis at {self._link.address} was taken over by another "
            f"writer after {self._lock_ms} ms without an update; nothing was written"
        )


def _executed(pipe: Any) -> bool:
    """Whether the transaction was made; False: what it watches has changed."""
    try:
        pipe.execute()
    except redis.WatchError as error:
        if error.__context__ is not None:
            raise  # the connection broke: the link tells
        return False
    return True


def _commits(head: Mapping[str, Any] | None) -> int:
    return 0 if head is None else int(head["commits"])
