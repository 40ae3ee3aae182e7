"""The online state: updates, lookups and memory, beside a dictionary that only keeps the events."""

import time
from collections import deque
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.features.online.state import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES

__all__ = ["measure"]

BATCH_ROWS = 10_000
LATENESS_US = 300_000_000  # how far the watermark stays behind
N_LOOKUPS = 20_000


def measure(events: pl.DataFrame, *, seed: int = 0) -> dict[str, float]:
    """Figures of an ``OnlineState`` with the shipped features, after all the events.

    ``online_updates_per_s`` is over batches of 10,000 rows with the watermark five minutes behind;
    ``online_vs_dict`` against a Python dictionary of deques that takes the same rows, forgets
    nothing and answers nothing. A lookup is of all features of one user. Memory is that of the
    arrays, room to grow included, per million users.

    Args:
        events: canonical, in order of time, with ``category`` and ``watch_ms``.
        seed: of the users that are looked up.

    Raises:
        InputError: no events.
    """
    if not len(events):
        raise InputError("`events` must hold at least one row, got none")
    state, began = OnlineState(SHIPPED_FEATURES), time.perf_counter()
    for batch in events.iter_slices(BATCH_ROWS):
        latest_us = int(batch[c.TS].dt.epoch("us")[-1])
        state.update(batch, watermark_us=latest_us - LATENESS_US)
    updates_s = time.perf_counter() - began
    dictionary_s = _kept_s(events)
    users = events[c.USER_ID].unique()
    at_us = int(events[c.TS].dt.epoch("us")[-1]) + 1
    lookups_us = _lookups_us(state, users, at_us=at_us, seed=seed)
    return {
        "online_updates_per_s": len(events) / updates_s,
        "online_vs_dict": dictionary_s / updates_s,
        "lookup_p50_us": float(np.quantile(lookups_us, 0.5)),
        "lookup_p99_us": float(np.quantile(lookups_us, 0.99)),
        "memory_bytes_per_million_users": state.memory_bytes / len(users) * 1e6,
    }


def _kept_s(events: pl.DataFrame) -> float:
    names = (c.USER_ID, c.TS, c.ITEM_ID, c.CLICKED, c.WATCH_MS, c.CATEGORY)
    kept: dict[int, deque[tuple[Any, ...]]] = {}
    began = time.perf_counter()
    for batch in events.iter_slices(BATCH_ROWS):
        rows = batch.select(pl.col(c.TS).dt.epoch("us"), pl.exclude(c.TS)).select(names).rows()
        for user, *row in rows:
            if user not in kept:
                kept[user] = deque()
            kept[user].append(tuple(row))
    return time.perf_counter() - began


def _lookups_us(
    state: OnlineState, users: pl.Series, *, at_us: int, seed: int
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    asked = users.sample(N_LOOKUPS, with_replacement=True, seed=seed).to_list()
    taken = np.empty(len(asked))
    for number, user in enumerate(asked):
        began = time.perf_counter_ns()
        state.lookup("user_id", user, at_us=at_us)
        taken[number] = (time.perf_counter_ns() - began) / 1_000
    return taken
