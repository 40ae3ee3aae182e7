"""Training examples: a history as of an instant, and the range of the log that followed it.

Everything is positions in one `InteractionLog`; nothing is copied.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.tables.queries import InteractionLog, Queries

__all__ = ["Examples", "first_clicks", "ranges"]

Ints = npt.NDArray[np.int64]


def first_clicks(log: InteractionLog) -> InteractionLog:
    """The log with each user's first click of an item only: an item is taken once."""
    pairs = log.user_rows * len(log.items) + log.item_rows
    _, first = np.unique(pairs, return_index=True)  # the log is in time order within a user
    kept = np.sort(first)
    return InteractionLog(
        log.users, log.items, log.user_rows[kept], log.item_rows[kept], log.ts[kept]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """E examples over S instants at which candidates' features are known."""

    log: InteractionLog
    cuts: Ints  # (S,) ascending, microseconds: when candidate features were taken
    cut_of: Ints  # (E,) index into cuts
    query_ts: Ints  # (E,) when the list is asked for
    starts: Ints  # (E,) history from here …
    ends: Ints  # (E,) … to before here
    target_starts: Ints  # (E,) one of the clicks from here …
    target_ends: Ints  # (E,) … to before here is the target

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.cut_of)

    @classmethod
    def at_pseudo_cuts(cls, log: InteractionLog, *, cuts: Ints, horizon_us: int) -> Self:
        """Users with a past at a cut and a click within the horizon after it: a test in small.

        Args:
            log: the clicks.
            cuts: (S,) ascending instants that play the end of the training log.
            horizon_us: microseconds after a cut in which a click is a target.

        Raises:
            InputError: there is no such user at any cut.
        """
        parts = []
        for number, cut in enumerate(cuts):
            before = log.queries(log.users.ids, int(cut))
            after = log.queries(log.users.ids, int(cut) + horizon_us)
            rows = np.flatnonzero(before.is_known & (after.ends > before.ends))
            at = np.full(len(rows), number), np.full(len(rows), cut)
            ends = before.ends[rows]
            parts.append((*at, before.starts[rows], ends, ends, after.ends[rows]))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls(log, cuts, *_not_empty(columns, log))

    @classmethod
    def of_next_events(cls, log: InteractionLog, *, cuts: Ints) -> Self:
        """Each click after a user's first, from what this user had clicked strictly before.

        Args:
            log: the clicks.
            cuts: (S,) ascending; candidates are as of the last cut before the click.

        Raises:
            InputError: no user has two clicks after the first cut.
        """
        queries = log.queries(log.users.ids[log.user_rows], log.ts)
        cut_of = np.searchsorted(cuts, log.ts, side="right") - 1
        at = np.flatnonzero(queries.is_known & (cut_of >= 0))
        starts, ends = queries.starts[at], queries.ends[at]
        columns = [cut_of[at], log.ts[at], starts, ends, at, at + 1]
        return cls(log, cuts, *_not_empty(columns, log))

    def queries(self, which: Ints) -> Queries:
        """The chosen examples' requests."""
        log = self.log
        user_ids = log.users.ids[log.user_rows[self.target_starts[which]]]
        return Queries(
            user_ids,
            self.query_ts[which],
            log.items,
            log.item_rows,
            log.ts,
            self.starts[which],
            self.ends[which],
        )

    def target_shares(self) -> npt.NDArray[np.float32]:
        """(S, n_items) the chance of each item to be a random example's target, by cut."""
        shares = np.zeros((len(self.cuts), len(self.log.items)), dtype=np.float32)
        for number in range(len(self.cuts)):
            which = np.flatnonzero(self.cut_of == number)
            if len(which):
                owner, at = ranges(self.target_starts[which], self.target_ends[which])
                width = self.target_ends[which] - self.target_starts[which]
                weight = 1.0 / width[owner] / len(which)
                shares[number] = np.bincount(
                    self.log.item_rows[at], weights=weight, minlength=shares.shape[1]
                )
        return shares


def ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Every position of every range [start, end), and the number of the range it belongs to."""
    lengths = ends - starts
    owner = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, starts[owner] + within


def _not_empty(columns: list[Ints], log: InteractionLog) -> list[Ints]:
    if not len(columns[0]):
        raise InputError(
            f"{len(log)} clicks of {len(log.users)} users give no training example: nobody clicks "
            "a second time after the first cut. Give a longer log"
        )
    return columns
