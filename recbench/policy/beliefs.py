"""Beliefs of several towers: contexts that one of them made say nothing about another's.

A refresh goes on from its parent's towers and stays close to them, so its contexts add to the same
belief. A full fit is a space of its own: its belief begins anew. The one before is kept for a
while, for a roll back and for services that still serve it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.policy.belief import Belief, Relearning
from recbench.policy.statistics import LinearStatistics

__all__ = ["Beliefs"]

KEPT = 2
Ints = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]


class Beliefs:
    """One belief for each full fit whose contexts came; of the two that were learnt last.

    Args:
        dim: of the contexts; 0: not known yet.
        relearning: as of ``Belief``.
        half_life: as of ``Belief``.
    """

    def __init__(
        self, dim: int, *, relearning: Relearning | None = None, half_life: float | None = None
    ) -> None:
        self.dim, self.relearning, self.half_life = dim, relearning, half_life
        self._held: dict[str, Belief] = {}  # what was learnt last is last

    @property
    def statistics(self) -> LinearStatistics:
        """Of the towers that were learnt last."""
        held = list(self._held.values())
        return held[-1].statistics if held else LinearStatistics.zeros(self.dim)

    def of(self, towers: str) -> Belief:
        """That of a full fit; from now on it is the one that was learnt last."""
        belief = self._held.pop(towers, None)
        if belief is None:
            belief = Belief(self.dim, relearning=self.relearning, half_life=self.half_life)
        self._held[towers] = belief
        for oldest in list(self._held)[:-KEPT]:
            del self._held[oldest]
        return belief

    def learn(
        self,
        names: Sequence[str],
        towers: Ints,
        features: npt.NDArray[np.floating],
        rewards: npt.NDArray[np.floating],
    ) -> None:
        """Take in events, each into the belief of its towers.

        Args:
            names: of full fits.
            towers: (E,) places in ``names``.
            features: (E, dim).
            rewards: (E,).
        """
        found, last = np.unique(towers[::-1], return_index=True)
        for place in found[np.argsort(-last)].tolist():  # the latest one comes last
            rows = slice(None) if len(found) == 1 else towers == place
            self.of(names[place]).learn(features[rows], rewards[rows])

    def told(self) -> list[dict[str, Any]]:
        """Whose they are and how much is in them, what was learnt last at the end."""
        return [
            {
                "towers": towers,
                "n_events": belief.statistics.n_events,
                "reward_sum": belief.statistics.reward_sum,
            }
            for towers, belief in self._held.items()
        ]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All else, to be kept; names begin with the place among ``told``."""
        return {
            f"{place}.{name}": array
            for place, belief in enumerate(self._held.values())
            for name, array in belief.arrays().items()
        }

    def restore(self, told: Sequence[Mapping[str, Any]], arrays: Arrays) -> None:
        """Go on where ``told`` and ``arrays`` were taken."""
        for place, of in enumerate(told):
            own = {
                name.removeprefix(f"{place}."): array
                for name, array in arrays.items()
                if name.startswith(f"{place}.")
            }
            numbers = {name: of[name] for name in ("n_events", "reward_sum")}
            self.of(of["towers"]).restore(own, **numbers)
