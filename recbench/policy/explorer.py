"""Exploration of a running service: the requests it takes, and the switch that ends it at once."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.policy.exploration import ExplorationBudget, Explored, explored
from recbench.policy.off_switch import OffSwitch

__all__ = ["Explorer"]


class Explorer:
    """Keeps to a budget; as long as there is a file at ``off_switch``, everything is by rule.

    Args:
        budget: what may be left to chance.
        off_switch: a path; whoever makes a file there ends exploration within half a second.
        rng: of which requests are taken, and what they are shown.
        clock: seconds, of which only differences matter.
    """

    def __init__(
        self,
        budget: ExplorationBudget,
        *,
        off_switch: Path | None = None,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self._switch = OffSwitch(off_switch, what="Exploration", clock=clock)
        self._rng = np.random.default_rng() if rng is None else rng

    @property
    def is_off(self) -> bool:
        """Whether the switch says so; looked at twice a second."""
        return self._switch.is_off

    def takes(self) -> bool:
        """Whether the next request is one of those that chance has a part in."""
        return not self.is_off and self._rng.random() < self.budget.traffic_frac

    def list_of(
        self,
        scores: npt.NDArray[np.floating],
        k: int,
        *,
        allowed: npt.NDArray[np.bool_] | None = None,
    ) -> Explored:
        """As ``explored``."""
        return explored(scores, k, self.budget, self._rng, allowed=allowed)
