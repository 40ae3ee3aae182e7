"""Clicks in the order they were known, with each user's past as of any instant."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.tables.vocabulary import Vocabulary

__all__ = ["ClickStream", "Histories"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What Q requests see of their users' pasts, the newest first."""

    user_rows: Ints  # (Q,)
    item_rows: Ints  # (Q, L), -1 where the past is shorter
    ends: Ints  # (Q,) where in `ClickStream.order` each past ends
    at: Ints | None = None  # (Q,) microseconds: when each is asked, if that is told
    known_before: Ints | None = None  # (Q,) microseconds: from when on nothing is known

    def __len__(self) -> int:
        """The number of requests."""
        return len(self.user_rows)

    def take(self, which: Ints | slice) -> Self:
        """The chosen requests, in the chosen order."""
        told = (None if each is None else each[which] for each in (self.at, self.known_before))
        return type(self)(self.user_rows[which], self.item_rows[which], self.ends[which], *told)


@dataclass(frozen=True)
class ClickStream:
    """N clicks by the instant they were known; what was not known before an instant is its future.

    A click is known at its ``arrival_ts``, never before it happened.
    """

    users: Vocabulary
    items: Vocabulary
    user_rows: Ints  # (N,)
    item_rows: Ints  # (N,)
    ts: Ints  # (N,) microseconds: when it happened
    known_at: Ints  # (N,) microseconds, ascending
    first_known: Ints  # (n_items,) microseconds: when an event, clicked or not, first spoke of it

    @classmethod
    def of(cls, events: pl.DataFrame) -> Self:
        """The clicked rows of canonical ``events``; those of one instant in the order of the file.

        Raises:
            InputError: the rows are not in order of ``ts``, or nothing was clicked.
        """
        ts = events[c.TS].dt.epoch("us").to_numpy()
        back = np.flatnonzero(np.diff(ts) < 0)
        if len(back):
            raise InputError(
                f"Events must be in order of `{c.TS}`, but row {back[0] + 1} happened before row "
                f"{back[0]}; sort them, as `recbench.datasets.load` does"
            )
        known = ts
        if c.ARRIVAL_TS in events.columns:
            arrived = events[c.ARRIVAL_TS].fill_null(events[c.TS]).dt.epoch("us")
            known = np.maximum(ts, arrived.to_numpy())
        items = Vocabulary.of(events[c.ITEM_ID])
        rows = items.rows(events[c.ITEM_ID])
        first = np.full(len(items), np.iinfo(np.int64).max)
        np.minimum.at(first, rows, known)
        clicked = events[c.CLICKED].fill_null(False).to_numpy()
        if not clicked.any():
            raise InputError(f"None of {len(events)} events is a click: there is nothing to find")
        at = np.flatnonzero(clicked)
        at = at[np.argsort(known[at], kind="stable")]
        users = Vocabulary.of(events[c.USER_ID].filter(events[c.CLICKED].fill_null(False)))
        user_rows = users.rows(events[c.USER_ID])[at]
        return cls(users, items, user_rows, rows[at], ts[at], known[at], first)

    def __len__(self) -> int:
        """The number of clicks."""
        return len(self.ts)

    def n_known(self, at: Ints | int) -> Ints:
        """How many clicks were known strictly before each instant, microseconds."""
        return np.searchsorted(self.known_at, at, side="left")

    @cached_property
    def order(self) -> Ints:
        """(N,) positions of the clicks, user by user, oldest first."""
        return np.argsort(self.user_rows, kind="stable")

    @cached_property
    def starts(self) -> Ints:
        """(U + 1,) where in ``order`` each user begins, and the end."""
        return np.searchsorted(self.user_rows[self.order], np.arange(len(self.users) + 1))

    @cached_property
    def slots(self) -> Ints:
        """(N,) where in ``order`` each click stands."""
        slots = np.empty(len(self), dtype=np.int64)
        slots[self.order] = np.arange(len(self))
        return slots

    @cached_property
    def _keys(self) -> Ints:
        return self.user_rows[self.order] * (len(self) + 1) + self.order

    def histories(self, user_rows: Ints, n_known: Ints, *, length: int) -> Histories:
        """The ``length`` newest clicks of each user among the first ``n_known`` of the stream.

        Args:
            user_rows: (Q,) -1 for a user who never clicks.
            n_known: (Q,) how much of the stream each request knows.
            length: L.
        """
        ends = np.searchsorted(self._keys, user_rows * (len(self) + 1) + n_known, side="left")
        slots = ends[:, None] - 1 - np.arange(length)
        held = (slots >= self.starts[user_rows][:, None]) & (user_rows >= 0)[:, None]
        rows = self.item_rows[self.order[np.maximum(slots, 0)]]
        return Histories(user_rows, np.where(held, rows, -1), ends)

    def has_past(self, user_rows: Ints, n_known: Ints) -> npt.NDArray[np.bool_]:
        """(Q,) whether the user has a click among the first ``n_known``."""
        return self.histories(user_rows, n_known, length=1).item_rows[:, 0] >= 0
