"""A floor under the exposure of some items, such as the long tail or what is new, and its price."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["ExposureFloor"]

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class ExposureFloor:
    """Keeps the share of slots that go to protected items at ``least`` or above.

    Protected items have ``price`` added to their scores. It rises while they are shown too rarely
    and falls, to zero at least, while they are shown enough: in the end it is what the last
    protected slot costs in units of the score, the constraint's shadow price.
    """

    least: float  # share of slots, in [0, 1]
    rate: float = 0.05  # how far the price moves at a report whose slots lack a share of one
    memory: float = 0.999  # a slot counts so much of the next one in the running share
    price: float = 0.0
    share: float | None = None  # running share of protected slots; None before any
    n_slots: int = 0
    n_protected: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        for name in ("least", "memory"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}")
        if not self.rate > 0:
            raise InputError(f"`rate` must be positive, got {self.rate}")

    def priced(self, scores: npt.NDArray[np.floating], protected: Bools) -> npt.NDArray[np.float64]:
        """The scores, with the price added where ``protected``; of any shape."""
        return scores + self.price * protected

    def may_draw(self, protected: Bools) -> Bools:
        """What a slot of chance may show: while the share is short, protected candidates only.

        So that exploration never breaks the floor. Where none is protected, all may be drawn.
        """
        is_short = self.share is not None and self.share < self.least
        return protected if is_short and protected.any() else np.ones_like(protected)

    def shown(self, protected: Bools) -> None:
        """Take note of (S,) slots that were shown, and move the price."""
        if not len(protected):
            return
        n, found = len(protected), float(protected.mean())
        kept = self.memory**n
        self.share = found if self.share is None else kept * self.share + (1 - kept) * found
        self.price = max(0.0, self.price + self.rate * (self.least - found))
        self.n_slots += n
        self.n_protected += int(protected.sum())

    @property
    def shown_share(self) -> float:
        """Of all slots so far."""
        return self.n_protected / self.n_slots if self.n_slots else float("nan")
