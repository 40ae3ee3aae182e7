"""Ours: what follows, what alike users did, what one repeats, and what is popular, as shares."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.models.streaming.kernels import history_weights
from recbench.models.streaming.neighbours import Neighbours
from recbench.models.streaming.transitions import Transitions
from recbench.tables.click_stream import ClickStream, Histories

__all__ = ["Blend", "BlendDials"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendDials:
    """Weights of the four parts, and their own dials; chosen on what is before a test."""

    follow: float = 1.0
    alike: float = 0.3
    repeat: float = 0.3
    popular: float = 0.01
    reach: int = 5  # clicks, of what follows
    follow_fade: float = 1.0  # of the history, see `history_weights`
    alike_fade: float = 1.0
    repeat_fade: float = 1.0
    half_life_s: float = 86_400.0  # of popularity


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A mixture of distributions over the catalogue; popularity is added by whoever serves."""

    dials: BlendDials
    transitions: Transitions
    neighbours: Neighbours

    @classmethod
    def nothing(cls, stream: ClickStream, dials: BlendDials) -> Self:
        """Before the first click."""
        n_users, n_items = len(stream.users), len(stream.items)
        transitions = Transitions.nothing(
            n_items, reach=dials.reach, back=1.0, fade=dials.follow_fade
        )
        return cls(dials, transitions, Neighbours.nothing(n_users, n_items, fade=dials.alike_fade))

    @property
    def prior(self) -> float:
        """The weight of popularity's shares beside ``scores``."""
        return self.dials.popular

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """The same with the clicks that were known before ``to``, microseconds."""
        return replace(
            self,
            transitions=self.transitions.learned(stream, to=to),
            neighbours=self.neighbours.learned(stream, to=to),
        )

    def parts(self) -> dict[str, npt.NDArray[np.generic]]:
        """What a release serves by."""
        return self.transitions.parts() | self.neighbours.parts()

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """(Q, n_items), >= 0; empty rows without a history."""
        dials, n_items = self.dials, self.transitions.counts.shape[0]
        total = dials.repeat * history_weights(histories, n_items=n_items, fade=dials.repeat_fade)
        if dials.follow:
            total = total + dials.follow * self.transitions.scores(histories)
        if dials.alike:
            total = total + dials.alike * self.neighbours.scores(histories)
        return total.tocsr()
