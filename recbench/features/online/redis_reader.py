"""Lookups in a store in Redis, by the same functions as in memory."""

import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from recbench.errors import InputError
from recbench.features.definitions import Entity, Feature
from recbench.features.online.asked import framed, no_features_of, points, require_exact
from recbench.features.online.lookup_many import many_answers
from recbench.features.online.lookup_one import OneLookup
from recbench.features.online.packed import Packed, joined, nothing, unpacked
from recbench.features.online.plan import (
    StreamPlan,
    by_entity,
    require_clicked_items,
    stream_plans,
)
from recbench.features.online.recent import RecentClicks, recent_clicks
from recbench.features.online.redis_link import Keys, RedisLink
from recbench.features.online.snapshots import require_same_features
from recbench.features.online.store import Ids, Instants
from recbench.features.online.values import DTYPES, ValueTypes

__all__ = ["RedisReader"]


class RedisReader:
    """Reads an entity and the watermark at one instant, so that they belong together."""

    def __init__(self, link: RedisLink, keys: Keys, features: Sequence[Feature]) -> None:
        self._link, self._keys, self._features = link, keys, tuple(features)
        self._types = ValueTypes([])
        self._by_key = stream_plans(features)
        self._plans = by_entity(self._by_key.values())
        self._lookups = {
            entity: [OneLookup(plan, self._types) for plan in plans]
            for entity, plans in self._plans.items()
        }
        self._nothing = {entity: nothing(plans) for entity, plans in self._plans.items()}
        self._head: tuple[bytes, dict[str, Any]] = (b"", {})  # as read last, and what it says
        self._lock = threading.Lock()

    def head(self) -> dict[str, Any] | None:
        """What the last transaction said of the store; None before the first one."""
        with self._link.reachable():
            raw = self._link.client.get(self._keys.head)
            return None if raw is None else self._understood(raw)

    def one(self, entity: Entity, id_: int | str | None, *, at_us: int) -> dict[str, Any]:
        """As ``OnlineState.lookup``."""
        return self._held(entity, id_, at_us)[1]

    def user(self, user_id: int, *, at_us: int) -> tuple[dict[str, Any], RecentClicks]:
        """As ``OnlineState.lookup_user``, in one round trip."""
        clicks = require_clicked_items(self._by_key)
        held, answers = self._held("user_id", user_id, at_us)
        events = held.streams[self._plans["user_id"].index(clicks)]
        return answers, recent_clicks(events, k=clicks.last, at_us=at_us)

    def many(self, entity: Entity, ids: Ids, *, at_us: Instants) -> pl.DataFrame:
        """As ``OnlineState.lookup_many``."""
        plans = self._plans_of(entity)
        asked, instants = points(entity, ids, at_us)
        with self._link.reachable():
            keys = [self._keys.entity(entity, "" if id_ is None else id_) for id_ in asked]
            *blobs, raw = self._link.client.mget(*keys, self._keys.head)
            earliest = int(instants.min(initial=np.iinfo(np.int64).max))
            require_exact(earliest, self._understood(raw)["watermark_us"])
        empty = self._nothing[entity]
        held = [empty if blob is None else unpacked(blob, plans) for blob in blobs]
        answers: dict[str, pl.Series] = {}
        for place, plan in enumerate(plans):
            events = joined([one.streams[place] for one in held], plan)
            answers |= many_answers(plan, self._types, events, at_us=instants)
        return framed(asked, instants, [answers[name] for name in self._names(entity)])

    def _held(
        self, entity: Entity, id_: int | str | None, at_us: int
    ) -> tuple[Packed, dict[str, Any]]:
        """What is kept of one entity, and its features."""
        plans = self._plans_of(entity)
        with self._link.reachable():
            key = self._keys.entity(entity, "" if id_ is None else id_)
            blob, raw = self._link.client.mget(key, self._keys.head)
            require_exact(at_us, self._understood(raw)["watermark_us"])
        answers: dict[str, Any] = dict.fromkeys(self._names(entity))
        held = self._nothing[entity]
        if id_ is not None:
            held = held if blob is None else unpacked(blob, plans)
            for lookup, events in zip(self._lookups[entity], held.streams, strict=True):
                lookup.answer(events, at_us, answers)
        return held, answers

    def _plans_of(self, entity: Entity) -> list[StreamPlan]:
        if entity not in self._plans:
            raise no_features_of(entity, self._features)
        return self._plans[entity]

    def _names(self, entity: Entity) -> list[str]:
        return [feature.name for feature in self._features if feature.entity == entity]

    def _understood(self, raw: bytes | None) -> dict[str, Any]:
        """The head, once the strings that it counts are known here."""
        if raw is None:
            raise InputError(
                f"Redis at {self._link.address} has no store called {self._keys.name!r}; the first "
                "update makes it"
            )
        with self._lock:
            if raw != self._head[0]:
                head = json.loads(raw)
                require_same_features(self._features, head)
                for name, count in head["n_strings"].items():
                    strings = self._types.strings_of(name)
                    if count > len(strings):
                        new = self._link.client.lrange(self._keys.strings(name), len(strings), -1)
                        strings.extend(string.decode() for string in new)
                for name, dtype in head["dtypes"].items():
                    self._types.learn(name, DTYPES[dtype])
                self._head = raw, head
            return self._head[1]
