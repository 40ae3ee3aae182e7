"""What a release knows of its users: their clicks and window features, by user id at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.features.batch import window_lookup
from recbench.features.definitions import Feature
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Clicks", "ReleasedHistories", "no_clicks"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class Clicks(NamedTuple):
    """Clicks of one user, oldest first; (N,) each."""

    item_rows: Ints
    ts: Ints  # microseconds since the epoch
    watch_ratio: Floats  # -1 where unknown

    def followed_by(self, later: "Clicks") -> "Clicks":
        """These, and then ``later``."""
        if not len(later.ts):
            return self
        return Clicks(
            np.concatenate([self.item_rows, later.item_rows]),
            np.concatenate([self.ts, later.ts]),
            np.concatenate([self.watch_ratio, later.watch_ratio]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class KnownUser:
    """What is known of somebody at the instant of a request."""

    clicks: Clicks  # what the tower is given, oldest first
    seen: Ints  # item rows, also of older clicks
    window: Floats  # (W,) window features
    at_us: int


def no_clicks() -> Clicks:
    """Of somebody who clicked nothing."""
    nothing = np.empty(0, dtype=np.int64)
    return Clicks(nothing, nothing, np.empty(0, dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class ReleasedHistories:
    """The users of a release, as of one instant."""

    user_ids: Ints  # (U,) ascending
    begins: Ints  # (U + 1,) user u has the clicks [begins[u], begins[u + 1])
    clicks: Clicks
    window: Floats  # (U, W) window features as of the instant
    of_nobody: Floats  # (W,) those of a user without events
    none: Clicks

    @classmethod
    def of(
        cls,
        interactions: pl.DataFrame,
        items: Vocabulary,
        features: Sequence[Feature],
        *,
        at_us: int,
    ) -> Self:
        """From a release's interactions; ``at_us`` is the instant of the window features."""
        users = Vocabulary.of(interactions[c.USER_ID])
        log = InteractionLog.from_events(interactions, items=items, users=users)
        begins = np.searchsorted(log.user_rows, np.arange(len(users) + 1))
        look_up = window_lookup(interactions, features)
        return cls(
            users.ids,
            begins,
            Clicks(log.item_rows, log.ts, log.watch_ratio),
            look_up(users.ids, np.full(len(users), at_us)),
            np.zeros(len(features), dtype=np.float32),
            no_clicks(),
        )

    def row(self, user_id: int | None) -> int:
        """The user's row; -1 where the release does not know the user."""
        if user_id is None:
            return -1
        row = int(self.user_ids.searchsorted(user_id))
        known = row < len(self.user_ids) and self.user_ids.item(row) == user_id
        return row if known else -1

    def clicks_of(self, row: int) -> Clicks:
        """All clicks of the user in ``row``."""
        if row < 0:
            return self.none
        span = slice(self.begins.item(row), self.begins.item(row + 1))
        rows, ts, watched = self.clicks
        return Clicks(rows[span], ts[span], watched[span])

    def window_of(self, row: int) -> Floats:
        """(W,) window features of the user in ``row``."""
        return self.of_nobody if row < 0 else self.window[row]
