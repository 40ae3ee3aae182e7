"""What can go wrong with towers on their way to a release, in any strength: to try a gate with.

A fault of one seed does the same to every candidate it is put into, so it may last over refreshes.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from recbench.errors import InputError
from recbench.models.two_tower import TwoTower
from recbench.refresh.state import LearnedState

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one strength."""

    kind: str  # one of FAULTS
    strength: float  # 0: none
    n_items: int  # of the catalogue when it began; later items are spared
    seed: int

    def __post_init__(self) -> None:
        """The kind is one of those that there are, the strength no less than nothing."""
        if self.kind not in FAULTS:
            raise InputError(f"`kind` must be one of {list(FAULTS)}, got {self.kind!r}")
        if not self.strength >= 0:
            raise InputError(f"`strength` must not be negative, got {self.strength}")

    def of(self, strength: float) -> "Fault":
        """The same fault in another strength."""
        return replace(self, strength=strength)

    def spoiled(self, state: LearnedState) -> LearnedState:
        """The state with the fault; the given one stays as it is."""
        if not self.strength:
            return state
        towers = copy.deepcopy(state.towers)
        with torch.no_grad():
            FAULTS[self.kind](towers, self)
        return replace(state, towers=towers)

    @property
    def rng(self) -> np.random.Generator:
        """A generator that starts anew each time."""
        return np.random.default_rng([self.seed, self.n_items])


def _noisy_embeddings(towers: TwoTower, fault: Fault) -> None:
    """Each id's row moves by ``strength`` times its length in a random direction."""
    table = towers.items.item.weight
    old = table[: fault.n_items]
    noise = fault.rng.standard_normal(tuple(old.shape)).astype(np.float32)
    moved = torch.from_numpy(noise) * (old.norm(dim=1, keepdim=True) / old.shape[1] ** 0.5)
    table[: fault.n_items] = old + fault.strength * moved


def _shuffled_vocabulary(towers: TwoTower, fault: Fault) -> None:
    """A share ``strength`` of the items get each other's rows: id, categories, title and text."""
    rng = fault.rng
    chosen = rng.permutation(fault.n_items)[: round(min(1.0, fault.strength) * fault.n_items)]
    to, of = torch.from_numpy(chosen), torch.from_numpy(np.roll(chosen, 1))
    items = towers.items
    texts = [] if items.text is None else [items.text]
    for rows in (items.item.weight, items.category_rows, items.title_rows, *texts):
        rows[to] = rows[of]


def _dropped_feature(towers: TwoTower, fault: Fault) -> None:
    """Recency popularity counts ``strength`` less than it should; at 1 it is not there at all."""
    queries: Any = towers.queries
    last = queries.head.prior_weight[-1]
    kept = 1.0 - min(1.0, fault.strength)
    last.weight *= kept
    last.bias *= kept
    last.bias -= 1.0 - kept  # the weight of the prior is 1 + what is learned


FAULTS: dict[str, Callable[[TwoTower, Fault], None]] = {
    "noise on embeddings": _noisy_embeddings,
    "shuffled vocabulary": _shuffled_vocabulary,
    "dropped feature": _dropped_feature,
}
