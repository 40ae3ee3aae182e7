"""Feedback that waits for the next refresh, and exposures that wait for their label."""

import numpy as np

from recbench.datasets.world.protocol import Clicks, Exposures, Feedback
from recbench.datasets.world.together import all_clicks, all_exposures

__all__ = ["Noted"]


class Noted:
    """What became known since it was last taken."""

    def __init__(self, *, wait_h: float = 0.0) -> None:
        """``wait_h``: an exposure is given out when it is so old, with a click that came by then.

        A click that comes later is lost. 0: exposures and clicks are given out as they come.
        """
        self.wait_h = wait_h
        self._exposures: list[Exposures] = []
        self._clicks: list[Clicks] = []

    def note(self, feedback: Feedback) -> None:
        """Keep it."""
        if len(feedback.exposures):
            self._exposures.append(feedback.exposures)
        if len(feedback.clicks):
            self._clicks.append(feedback.clicks)

    def taken(self, now_h: float) -> tuple[Exposures, Clicks]:
        """What can be learnt from at ``now_h``, once."""
        exposures, clicks = all_exposures(self._exposures), all_clicks(self._clicks)
        if not self.wait_h:
            self._exposures, self._clicks = [], []
            return exposures, clicks
        until_h = now_h - self.wait_h
        is_old = exposures.hours < until_h
        in_time = clicks.known_h - clicks.of.hours <= self.wait_h
        of_old = clicks.of.hours < until_h
        self._exposures = [exposures.take(~is_old)]
        self._clicks = [clicks.take(np.flatnonzero(in_time & ~of_old))]
        return exposures.take(is_old), clicks.take(np.flatnonzero(in_time & of_old))
