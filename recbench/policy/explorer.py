"""Exploration of a running service: the requests it takes, and the switch that ends it at once."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recbench.policy.exploration import ExplorationBudget, Explored, explored

__all__ = ["Explorer"]

logger = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks at the switch


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
        self._off_switch, self._clock = off_switch, clock
        self._rng = np.random.default_rng() if rng is None else rng
        self._is_off, self._look_at = False, clock()

    @property
    def is_off(self) -> bool:
        """Whether the switch says so; looked at twice a second."""
        if self._off_switch is not None and self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_S
            before, self._is_off = self._is_off, self._off_switch.exists()
            if before != self._is_off:
                logger.warning("Exploration is %s", "off" if self._is_off else "on again")
        return self._is_off

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
