"""Who asks, when, and what they had done strictly before: histories without copying."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from recbench import columns as c
from recbench.tables.vocabulary import Vocabulary

__all__ = ["LONGEST_WATCH", "InteractionLog", "Queries"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
MICROSECONDS = 1e6
LONGEST_WATCH = 2.0  # lengths: an item may be watched again


@dataclass(frozen=True, slots=True, eq=False)
class InteractionLog:
    """The clicked events as flat arrays, ordered by user row and then by time.

    Events of one user at one instant keep the order of the file. All arrays are (N,).
    """

    users: Vocabulary
    items: Vocabulary
    user_rows: Ints
    item_rows: Ints  # never -1: events of items outside the vocabulary are left out
    ts: Ints  # microseconds since the epoch, UTC
    watch_ratio: Floats  # watched share of the item's length, -1 where unknown
    propensity: Floats  # with which it was shown, -1 where unknown

    @classmethod
    def from_events(
        cls,
        events: pl.DataFrame,
        *,
        items: Vocabulary | None = None,
        users: Vocabulary | None = None,
    ) -> Self:
        """The clicked rows of canonical ``events``.

        Args:
            events: canonical; ``clicked`` may be absent, then every row counts;
                ``watch_ratio`` and ``propensity`` may be, then they are unknown.
            items: the catalogue; events of other items are dropped. Default: every item clicked.
            users: rows to use. Default: every user with a click. Events of other users are dropped.
        """
        if c.CLICKED in events.columns:
            events = events.filter(pl.col(c.CLICKED))
        items = items if items is not None else Vocabulary.of(events[c.ITEM_ID])
        users = users if users is not None else Vocabulary.of(events[c.USER_ID])
        user_rows, item_rows = users.rows(events[c.USER_ID]), items.rows(events[c.ITEM_ID])
        ts = events[c.TS].dt.epoch("us").to_numpy()
        kept = np.flatnonzero((user_rows >= 0) & (item_rows >= 0))
        order = kept[np.lexsort((ts[kept], user_rows[kept]))]
        watched = _watch_ratios(events)[order]
        chance = _propensities(events)[order]
        return cls(users, items, user_rows[order], item_rows[order], ts[order], watched, chance)

    def __len__(self) -> int:
        """The number of interactions."""
        return len(self.ts)

    def queries(self, user_ids: Ints | pl.Series, ts: Ints | int) -> "Queries":
        """One query a user: the history is what the log holds strictly before ``ts``.

        Args:
            user_ids: (Q,) outside ids; an unknown one has an empty history.
            ts: (Q,) or one for all, microseconds since the epoch; to see the whole log, any
                instant after its last.
        """
        ids = np.asarray(user_ids, dtype=np.int64)
        at = np.broadcast_to(np.asarray(ts, dtype=np.int64), ids.shape)
        rows = self.users.rows(ids)
        starts = np.searchsorted(self.user_rows, rows, side="left")
        last = np.searchsorted(self.user_rows, rows, side="right")
        ends = np.where(rows < 0, starts, _first_not_before(self.ts, starts, last, at))
        return Queries(ids, at, self, starts, ends)

    def matrix(self) -> sparse.csr_matrix:
        """(n_users, n_items) float32; 1 where the user clicked the item at least once."""
        ones = np.ones(len(self), dtype=np.float32)
        shape = (len(self.users), len(self.items))
        matrix = sparse.csr_matrix((ones, (self.user_rows, self.item_rows)), shape=shape)
        matrix.data[:] = 1.0
        return matrix


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Q requests; the history of query q is ``log[starts[q]:ends[q]]``, oldest first."""

    user_ids: Ints  # (Q,) outside ids
    ts: Ints  # (Q,) microseconds since the epoch, UTC: when the list is asked for
    log: InteractionLog  # shared by all queries
    starts: Ints  # (Q,)
    ends: Ints  # (Q,)

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.user_ids)

    @property
    def items(self) -> Vocabulary:
        """The catalogue."""
        return self.log.items

    @property
    def lengths(self) -> Ints:
        """(Q,) events in each history."""
        return self.ends - self.starts

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """(Q,) true where there is any history."""
        return self.ends > self.starts

    def take(self, which: Ints | slice | npt.NDArray[np.bool_]) -> "Queries":
        """The chosen queries, in the chosen order; the log behind them is shared."""
        return Queries(
            self.user_ids[which], self.ts[which], self.log, self.starts[which], self.ends[which]
        )

    def events(self) -> tuple[Ints, Ints]:
        """(E,) each event's query, and its place in the log: all histories, one after another."""
        lengths = self.lengths
        ends = np.cumsum(lengths)
        owner = np.repeat(np.arange(len(self)), lengths)
        within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
        return owner, np.repeat(self.starts, lengths) + within

    def matrix(self) -> sparse.csr_matrix:
        """(Q, n_items) float32; 1 where the item is in the history."""
        matrix = self.decayed_matrix(np.inf)
        matrix.data[:] = 1.0
        return matrix

    def decayed_matrix(self, half_life_s: float) -> sparse.csr_matrix:
        """(Q, n_items) float32: the sum of ``2 ** -(age / half_life)`` over the item's events."""
        owner, at = self.events()
        age_s = (self.ts[owner] - self.log.ts[at]) / MICROSECONDS
        weight = np.exp2(-age_s / half_life_s).astype(np.float32)
        indptr = np.concatenate([[0], np.cumsum(self.lengths)])
        cells = (weight, self.log.item_rows[at], indptr)
        matrix = sparse.csr_matrix(cells, shape=(len(self), len(self.items)))
        matrix.sum_duplicates()
        return matrix


def _watch_ratios(events: pl.DataFrame) -> Floats:
    if c.WATCH_RATIO not in events.columns:
        return np.full(len(events), -1.0, dtype=np.float32)
    ratio = events[c.WATCH_RATIO].cast(pl.Float32).clip(0.0, LONGEST_WATCH).fill_null(-1.0)
    return ratio.to_numpy()


def _propensities(events: pl.DataFrame) -> Floats:
    if c.PROPENSITY not in events.columns:
        return np.full(len(events), -1.0, dtype=np.float32)
    return events[c.PROPENSITY].cast(pl.Float32).fill_null(-1.0).to_numpy()


def _first_not_before(sorted_ts: Ints, low: Ints, high: Ints, at: Ints) -> Ints:
    """For each q the first position in [low, high) whose ts is >= at[q]; else high."""
    low, high = low.copy(), high.copy()
    while np.any(low < high):
        middle = (low + high) // 2
        before = (low < high) & (sorted_ts[np.minimum(middle, len(sorted_ts) - 1)] < at)
        low = np.where(before, middle + 1, low)
        high = np.where(before | (low >= high), high, middle)
    return low
