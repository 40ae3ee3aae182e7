"""The online state of the shipped features beside dicts of deques in plain Python."""

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.benchmarks.generated import CATEGORIES, DAYS, generated_events
from recbench.errors import InputError, JobError
from recbench.features.online import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES

__all__ = ["measure"]

Row = tuple[int, int, int, bool, int, str]

BATCH_ROWS = 10_000
N_LOOKUPS, N_COMPARED = 20_000, 200
LATENESS_US = 600_000_000
MINUTE, HOUR, DAY = 60 * 10**6, 3600 * 10**6, 86_400 * 10**6
LAST_ITEMS = 50
RELATIVE = 1e-9  # of popularity, which is summed in another order


def measure(*, events: int = 1_000_000, seed: int = 0) -> dict[str, float]:
    """Updates, lookups and memory of the state, and its speed against plain Python.

    A user has 50 events within one day, in order of time and all still in the longest window; rows
    come in batches of ten thousand. ``memory_bytes_per_million_users`` counts the bytes of all the
    state's arrays, room to grow included, per user, times a million. ``online_vs_dict`` is against
    a loop over the same rows that keeps deques in dicts and takes no rows out of order; above 1
    the state is faster. A lookup is of all features of one user, by itself.

    Raises:
        InputError: ``events`` is below 1.
        JobError: the two do not give the same numbers.
    """
    if events < 1:
        raise InputError(f"`events` must be at least 1, got {events}")
    log = _log(events, seed=seed)
    state, online_s = _updated(log)
    reference, dict_s = _looped(log)
    users = log[c.USER_ID].unique().sort()
    asked = users.sample(N_LOOKUPS, with_replacement=True, seed=seed).to_list()
    at_us = int(log[c.TS].dt.epoch("us").max()) + 1  # type: ignore[arg-type]  # a numeric column
    _require_equal(state, reference, users=asked[:N_COMPARED], at_us=at_us)
    latencies_us = np.array([_lookup_ns(state, user, at_us) for user in asked]) / 1e3
    p50, p99 = np.percentile(latencies_us, [50, 99]).tolist()
    return {
        "online_updates_per_s": events / online_s,
        "online_vs_dict": dict_s / online_s,
        "lookup_p50_us": p50,
        "lookup_p99_us": p99,
        "memory_bytes_per_million_users": state.memory_bytes / len(users) * 1e6,
    }


def _log(n_events: int, *, seed: int) -> pl.DataFrame:
    """Generated events brought together into one day, in order of time."""
    start = pl.col(c.TS).first()
    return generated_events(n_events, seed=seed).with_columns(start + (pl.col(c.TS) - start) / DAYS)


def _updated(log: pl.DataFrame) -> tuple[OnlineState, float]:
    state, ts = OnlineState(SHIPPED_FEATURES), log[c.TS].dt.epoch("us").to_list()
    start = time.perf_counter()
    for first in range(0, len(log), BATCH_ROWS):
        batch = log[first : first + BATCH_ROWS]
        latest = ts[first + len(batch) - 1]
        state.update(batch, watermark_us=latest - LATENESS_US)
    return state, time.perf_counter() - start


def _lookup_ns(state: OnlineState, user: int, at_us: int) -> int:
    start = time.perf_counter_ns()
    state.lookup("user_id", user, at_us=at_us)
    return time.perf_counter_ns() - start


@dataclass(slots=True)
class _User:
    events: deque[tuple[int, bool, int]] = field(default_factory=deque)  # of the last day
    clicks: deque[tuple[int, bool]] = field(default_factory=deque)  # of the last day: is it a jump
    items: deque[int] = field(default_factory=lambda: deque(maxlen=LAST_ITEMS))
    watched: deque[int] = field(default_factory=lambda: deque(maxlen=LAST_ITEMS))
    last_click: int | None = None
    tags: frozenset[str] | None = None  # of the last click


class _Deques:
    """The shipped features the plain way: a deque a user, popped as it grows old."""

    def __init__(self) -> None:
        self.users: defaultdict[int, _User] = defaultdict(_User)
        self.items: dict[int, tuple[float, int]] = {}
        self.categories: dict[str, tuple[float, int]] = {}
        self._tags = {category: frozenset(category.split("|")) for category in CATEGORIES}

    def take(self, row: Row) -> None:
        user_id, item_id, ts, clicked, watch_ms, category = row
        user = self.users[user_id]
        user.events.append((ts, clicked, watch_ms))
        while user.events[0][0] < ts - DAY:
            user.events.popleft()
        if not clicked:
            return
        tags = self._tags[category]
        user.clicks.append((ts, user.tags is not None and user.tags.isdisjoint(tags)))
        while user.clicks[0][0] < ts - DAY:
            user.clicks.popleft()
        user.items.append(item_id)
        user.watched.append(watch_ms)
        user.last_click, user.tags = ts, tags
        self.items[item_id] = _one_more(self.items.get(item_id), ts)
        self.categories[category] = _one_more(self.categories.get(category), ts)

    def lookup(self, user_id: int, at_us: int) -> dict[str, Any]:
        user = self.users[user_id]
        hour = [clicked for ts, clicked, _ in user.events if ts >= at_us - HOUR]
        day = [clicked for ts, clicked, _ in user.events if ts >= at_us - DAY]
        return {
            "user_watch_ms_5m": sum(ms for ts, _, ms in user.events if ts >= at_us - 5 * MINUTE),
            "user_category_jumps_30m": sum(j for ts, j in user.clicks if ts >= at_us - 30 * MINUTE),
            "user_clicks_1h": sum(ts >= at_us - HOUR for ts, _ in user.clicks),
            "user_clicks_24h": sum(ts >= at_us - DAY for ts, _ in user.clicks),
            "user_ctr_1h": sum(hour) / len(hour) if hour else None,
            "user_ctr_24h": sum(day) / len(day) if day else None,
            "user_since_last_click_us": None
            if user.last_click is None
            else at_us - user.last_click,
            "user_last_50_items": list(user.items),
            "user_last_50_watch_ms": list(user.watched),
        }


def _one_more(popularity: tuple[float, int] | None, ts: int) -> tuple[float, int]:
    """One more click on what weighed so much at an earlier instant, with a half-life of a day."""
    if popularity is None:
        return 1.0, ts
    weight, since = popularity
    return weight * 2.0 ** ((since - ts) / DAY) + 1.0, ts


def _looped(log: pl.DataFrame) -> tuple[_Deques, float]:
    names = [c.USER_ID, c.ITEM_ID, c.TS, c.CLICKED, c.WATCH_MS, c.CATEGORY]
    reference = _Deques()
    start = time.perf_counter()
    for first in range(0, len(log), BATCH_ROWS):
        batch = log[first : first + BATCH_ROWS].with_columns(pl.col(c.TS).dt.epoch("us"))
        for row in batch.select(names).iter_rows():
            reference.take(row)
    return reference, time.perf_counter() - start


def _require_equal(state: OnlineState, reference: _Deques, *, users: list[int], at_us: int) -> None:
    """Refuse to compare the speeds of what gives different numbers."""
    for user in users:
        ours, theirs = state.lookup("user_id", user, at_us=at_us), reference.lookup(user, at_us)
        if ours != theirs:
            raise JobError(f"User {user} has {ours} online, but {theirs} in plain Python")
    for entity, name, held in (
        (c.ITEM_ID, "item_popularity_1d", reference.items),
        (c.CATEGORY, "category_popularity_1d", reference.categories),
    ):
        found = dict(state.popularity(name, at_us=at_us).iter_rows())
        for id_, (weight, since) in held.items():
            expected = weight * 2.0 ** ((since - at_us) / DAY)
            if abs(found[id_] - expected) > RELATIVE * expected:
                raise JobError(f"{entity} {id_} has {name} {found[id_]}, not {expected}")
