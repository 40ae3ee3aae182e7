"""One world's traffic shared by two policies: users are split, the world is not."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.noise import keyed_uniforms
from recbench.datasets.world.protocol import Asked, Feedback, Policy, Slates

__all__ = ["SplitPolicy"]

ARMS = 401  # stream of keyed numbers

Ints = npt.NDArray[np.int64]


class SplitPolicy:
    """Each half of the users is served by one of two policies."""

    def __init__(self, policies: tuple[Policy, Policy], *, pooled: bool, seed: int) -> None:
        """Users are drawn into arms, each with a chance of one half.

        Args:
            policies: control, treatment.
            pooled: both hear of all traffic; else each of its own users' only.
            seed: of who is in which arm.
        """
        self.policies, self.pooled, self.seed = policies, pooled, seed

    def arm_of(self, user_ids: Ints) -> Ints:
        """0 or 1 for each user."""
        return (keyed_uniforms(self.seed, ARMS, user_ids) < 0.5).astype(np.int64)

    def observe(self, feedback: Feedback) -> None:
        """Tell both of the items, and each of the traffic that it may learn from."""
        for arm, policy in enumerate(self.policies):
            policy.observe(feedback if self.pooled else self._own(feedback, arm))

    def slates(self, asked: Asked) -> Slates:
        """Of each request, by its user's policy."""
        arms = self.arm_of(asked.user_ids)
        found = Slates.empty(asked)
        for arm, policy in enumerate(self.policies):
            mine = arms == arm
            if mine.any():
                own = policy.slates(asked.take(mine))
                found.item_ids[mine] = own.item_ids
                found.propensities[mine] = own.propensities
        return found

    def _own(self, feedback: Feedback, arm: int) -> Feedback:
        exposures, clicks = feedback.exposures, feedback.clicks
        return replace(
            feedback,
            exposures=exposures.take(self.arm_of(exposures.user_ids) == arm),
            clicks=clicks.take(np.flatnonzero(self.arm_of(clicks.of.user_ids) == arm)),
        )
