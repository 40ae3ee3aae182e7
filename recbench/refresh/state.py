"""What a refresh starts from: all that was learned, and the little it needs of the past."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench.errors import InputError
from recbench.features.running_popularity import RunningPopularity
from recbench.models.content import ItemContent
from recbench.models.two_tower import TwoTower
from recbench.refresh.grow import grown_towers
from recbench.refresh.replay import Exemplars
from recbench.tables.vocabulary import Vocabulary
from recbench.training.moments import Moments

__all__ = ["LearnedState"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LearnedState:
    """Towers, their optimiser and the popularity of their items as of one instant."""

    towers: TwoTower
    moments: Moments
    items: Vocabulary
    content: ItemContent
    popularity: RunningPopularity  # as of `at`; the last half-life is the recency prior's
    pool: Exemplars  # of the past: who may be trained on again
    kept: tuple[RunningPopularity, ...]  # as of the pool's instants, the oldest first
    last_ts: Ints  # (n_items,) microseconds: the last click, or when the item got its row
    number: int = 0  # refreshes since the last full fit

    @property
    def at(self) -> int:
        """Microseconds since the epoch: every event before is known, none at it or later."""
        return self.popularity.at

    def tombstones(self, *, idle_us: float) -> Ints:
        """Rows of items that nobody has clicked for longer than ``idle_us``; ascending.

        They keep their rows and what was learned, and are not recommended until a click.
        """
        return np.flatnonzero(self.at - self.last_ts > idle_us)

    def grown(self, items: pl.DataFrame, new_ids: pl.Series) -> Self:
        """The same with rows for items that it lacks; see ``grown_towers``.

        Args:
            items: canonical; what is known of the new ones.
            new_ids: may hold known ones, too.
        """
        return self.grown_to(items, self.items.grow(new_ids))

    def grown_to(self, items: pl.DataFrame, vocabulary: Vocabulary) -> Self:
        """The same with a row for every item of ``vocabulary``, which begins with its own.

        Raises:
            InputError: the vocabulary does not begin with the items of this state.
        """
        n_old = len(self.items)
        if not np.array_equal(vocabulary.ids[:n_old], self.items.ids):
            raise InputError(f"A vocabulary grows without renumbering; the first {n_old} differ")
        if len(vocabulary) == n_old:
            return self
        content = self.content.grown(items, vocabulary.ids[n_old:])
        towers, moments = grown_towers(self.towers, self.moments, content)
        n = len(vocabulary)
        return type(self)(
            towers,
            moments,
            vocabulary,
            content,
            self.popularity.grown(n),
            self.pool,
            tuple(popularity.grown(n) for popularity in self.kept),
            np.pad(self.last_ts, (0, n - n_old), constant_values=self.at),
            self.number,
        )
