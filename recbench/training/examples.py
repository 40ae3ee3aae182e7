"""Training examples: a history as of an instant, and the range of the log that followed it.

Everything is positions in one `InteractionLog`; nothing is copied.
"""

from dataclasses import dataclass, replace
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
    return replace(
        log,
        user_rows=log.user_rows[kept],
        item_rows=log.item_rows[kept],
        ts=log.ts[kept],
        watch_ratio=log.watch_ratio[kept],
        propensity=log.propensity[kept],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """E examples over S instants at which candidates' features are known."""

    log: InteractionLog
    cuts: Ints  # (S,) ascending, microseconds: when candidate features were taken
    cut_of: Ints  # (E,) index into cuts
    query_ts: Ints  # (E,) when the list is asked for; with `every_position` for the last time
    starts: Ints  # (E,) history from here …
    ends: Ints  # (E,) … to before here
    target_starts: Ints  # (E,) the targets are the clicks from here …
    target_ends: Ints  # (E,) … to before here
    every_position: bool  # each target after what was there before it; else one of them, drawn

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
        return cls._of_one_target(log, cuts, columns)

    @classmethod
    def of_next_events(cls, log: InteractionLog, *, cuts: Ints) -> Self:
        """Each click after a user's first, from what this user had clicked strictly before.

        Args:
            log: the clicks.
            cuts: (S,) ascending; candidates are as of the last cut before the click.

        Raises:
            InputError: no user has two clicks after the first cut.
        """
        at, cut_of, queries = _next_events(log, cuts)
        columns = [cut_of, log.ts[at], queries.starts, queries.ends, at, at + 1]
        return cls._of_one_target(log, cuts, columns)

    @classmethod
    def of_sequences(cls, log: InteractionLog, *, cuts: Ints, length: int) -> Self:
        """The same clicks as ``of_next_events``, up to ``length`` of a user and cut together.

        Args:
            log: the clicks.
            cuts: (S,) ascending; candidates are as of the last cut before the click.
            length: L, targets of one example.

        Raises:
            InputError: no user has two clicks after the first cut.
        """
        at, cut_of, queries = _next_events(log, cuts)
        columns = _not_empty([at, cut_of, queries.starts, queries.ends], log)
        at, cut_of, starts, ends = columns
        joined = (np.diff(at) == 1) & (np.diff(cut_of) == 0) & (np.diff(starts) == 0)
        run = np.concatenate([[0], np.cumsum(~joined)])
        within = np.arange(len(at)) - np.searchsorted(run, run)  # place in the run
        first = np.flatnonzero(within % length == 0)
        last = np.append(first[1:], len(at)) - 1
        return cls(
            log,
            cuts,
            cut_of[first],
            log.ts[at[last]],
            starts[first],
            ends[last],
            at[first],
            at[last] + 1,
            every_position=True,
        )

    @classmethod
    def _of_one_target(cls, log: InteractionLog, cuts: Ints, columns: list[Ints]) -> Self:
        cut_of, query_ts, starts, ends, target_starts, target_ends = _not_empty(columns, log)
        return cls(
            log,
            cuts,
            cut_of,
            query_ts,
            starts,
            ends,
            target_starts,
            target_ends,
            every_position=False,
        )

    @property
    def user_ids(self) -> Ints:
        """(E,) whose examples they are."""
        return self.log.users.ids[self.log.user_rows[self.target_starts]]

    def take(self, which: Ints | npt.NDArray[np.bool_]) -> Self:
        """The chosen examples, over the same instants."""
        per_example = ("cut_of", "query_ts", "starts", "ends", "target_starts", "target_ends")
        return replace(self, **{name: getattr(self, name)[which] for name in per_example})

    def queries(self, which: Ints) -> Queries:
        """The chosen examples' requests."""
        own = self.user_ids[which]
        return Queries(own, self.query_ts[which], self.log, self.starts[which], self.ends[which])


def ranges(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Every position of every range [start, end), and the number of the range it belongs to."""
    lengths = ends - starts
    owner = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, starts[owner] + within


def _next_events(log: InteractionLog, cuts: Ints) -> tuple[Ints, Ints, Queries]:
    """Clicks with something strictly before, as places in the log; their cuts, what was before."""
    queries = log.queries(log.users.ids[log.user_rows], log.ts)
    cut_of = np.searchsorted(cuts, log.ts, side="right") - 1
    at = np.flatnonzero(queries.is_known & (cut_of >= 0))
    return at, cut_of[at], queries.take(at)


def _not_empty(columns: list[Ints], log: InteractionLog) -> list[Ints]:
    if not len(columns[0]):
        raise InputError(
            f"{len(log)} clicks of {len(log.users)} users give no training example: nobody clicks "
            "a second time after the first cut. Give a longer log"
        )
    return columns
