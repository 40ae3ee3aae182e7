"""What many small windows say together: a test that may be looked at after each of them."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["Evidence"]

BETS = (0.1, 0.2, 0.4, 0.8)  # shares of the wealth that are staked on each user
NOTHING = (0.0,) * len(BETS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bets on whether a model keeps at least ``1 - margin`` of another one's quality.

    Each user's ``z = own - (1 - margin) * other`` lies in [-1, 1]. Whoever bets against the model
    multiplies the wealth by ``1 - stake * z``, whoever bets for it by ``1 + stake * z``, at several
    stakes at once. While the mean of z is not negative, the first wealth is expected to shrink, and
    exceeds 20 at any time in its life with a chance of at most 1 in 20: users may come in batches
    of any size, and the test be read after every batch. They must not be chosen by their values.

    Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
    JRSS B 2024; Ville's inequality.
    """

    margin: float  # in [0, 1)
    against: tuple[float, ...] = NOTHING  # log wealth by stake: the model is worse
    support: tuple[float, ...] = NOTHING  # log wealth by stake: it is not
    n_users: int = 0

    def __post_init__(self) -> None:
        """A margin is a share."""
        if not 0 <= self.margin < 1:
            raise InputError(f"`margin` must lie in [0, 1), got {self.margin}")

    def after(self, own: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Self:
        """With (U,) further users, each judged under both models by a metric in [0, 1].

        Raises:
            InputError: a value outside [0, 1], or not one of each for every user.
        """
        if own.shape != other.shape:
            raise InputError(f"Both models must judge the same users: {own.shape}, {other.shape}")
        both = np.concatenate([own, other])
        if not ((both >= 0) & (both <= 1)).all():  # NaN, too
            raise InputError("A metric outside [0, 1] cannot be bet on")
        z = own - (1 - self.margin) * other
        stakes = np.array(BETS)[:, None]
        against = np.log1p(-stakes * z).sum(axis=1) + self.against
        support = np.log1p(stakes * z).sum(axis=1) + self.support
        n = self.n_users + len(z)
        return replace(self, against=tuple(against), support=tuple(support), n_users=n)

    @property
    def log_wealth_against(self) -> float:
        """Natural log of what betting on "worse by more than the margin" has made of 1."""
        return _log_mean(self.against)

    @property
    def log_wealth_support(self) -> float:
        """Natural log of what betting on "not worse by more than the margin" has made of 1."""
        return _log_mean(self.support)

    def is_worse(self, *, level: float = 0.05) -> bool:
        """Whether the model is shown to be worse by more than the margin.

        Over all looks, and where it is not, this comes true with a chance of at most ``level``.
        """
        return self.log_wealth_against >= -math.log(level)

    def is_not_worse(self, *, level: float = 0.05) -> bool:
        """Whether the model is shown to be worse by less than the margin, if at all."""
        return self.log_wealth_support >= -math.log(level)

    def to_json(self) -> dict[str, Any]:
        """For a manifest."""
        return {
            "margin": self.margin,
            "against": list(self.against),
            "support": list(self.support),
            "n_users": self.n_users,
        }

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """What ``to_json`` gave."""
        against, support = tuple(held["against"]), tuple(held["support"])
        return cls(held["margin"], against, support, held["n_users"])


def _log_mean(log_wealth: tuple[float, ...]) -> float:
    """Log of the mean of the wealths: one starting capital, split evenly over the stakes."""
    return float(np.logaddexp.reduce(log_wealth) - np.log(len(log_wealth)))
