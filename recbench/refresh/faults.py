"""What can go wrong with a candidate between its training and its requests, to try a gate with.

A fault has a strength that can be set, and one seed does the same to every candidate it is put
into, so it may last over refreshes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.models.frozen import TwoTowerRecommender

__all__ = ["FAULTS", "Fault"]

Floats = npt.NDArray[np.float32]
NOTHING: Floats = np.zeros((0, 0), dtype=np.float32)
N_POPULARITY = 2  # last columns of candidate embeddings: prior, and recency popularity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fault:
    """One fault of one strength."""

    kind: str  # one of FAULTS
    strength: float  # 0: none
    n_items: int  # of the catalogue when it began; later items are spared
    seed: int
    earlier: Floats = field(default_factory=lambda: NOTHING)  # embeddings of "stale index"

    def __post_init__(self) -> None:
        """The kind is one of those that there are, the strength no less than nothing."""
        if self.kind not in FAULTS:
            raise InputError(f"`kind` must be one of {list(FAULTS)}, got {self.kind!r}")
        if not self.strength >= 0:
            raise InputError(f"`strength` must not be negative, got {self.strength}")

    def of(self, strength: float) -> "Fault":
        """The same fault in another strength."""
        return replace(self, strength=strength)

    def spoiled(self, model: TwoTowerRecommender) -> TwoTowerRecommender:
        """The model with the fault; the given one stays as it is."""
        embeddings = model.candidate_embeddings.copy()
        FAULTS[self.kind](embeddings, self)
        return replace(model, candidate_embeddings=embeddings)

    @property
    def rng(self) -> np.random.Generator:
        """A generator that starts anew each time."""
        return np.random.default_rng([self.seed, self.n_items])

    def some(self, n: int) -> npt.NDArray[np.int64]:
        """A share ``strength`` of ``n`` rows, at most all, in an order of its own."""
        return self.rng.permutation(n)[: round(min(1.0, self.strength) * n)]


def _noisy_embeddings(embeddings: Floats, fault: Fault) -> None:
    """Every value moves by ``strength`` times its column's standard deviation."""
    old = embeddings[: fault.n_items]
    noise = fault.rng.standard_normal(old.shape).astype(np.float32)
    old += fault.strength * old.std(axis=0) * noise


def _shuffled_vocabulary(embeddings: Floats, fault: Fault) -> None:
    """A share ``strength`` of the items answer to each other's ids."""
    rows = fault.some(fault.n_items)
    embeddings[rows] = embeddings[np.roll(rows, 1)]


def _dropped_feature(embeddings: Floats, fault: Fault) -> None:
    """Recency popularity counts ``strength`` less than it should; at 1 it is not there at all."""
    embeddings[:, -N_POPULARITY:] *= 1.0 - min(1.0, fault.strength)


def _stale_index(embeddings: Floats, fault: Fault) -> None:
    """A share ``strength`` of the items have the vectors of an earlier release."""
    rows = fault.some(min(len(fault.earlier), fault.n_items))
    embeddings[rows] = fault.earlier[rows]


FAULTS: dict[str, Callable[[Floats, Fault], None]] = {
    "noise on embeddings": _noisy_embeddings,
    "shuffled vocabulary": _shuffled_vocabulary,
    "dropped feature": _dropped_feature,
    "stale index": _stale_index,
}
