"""Baselines behind the same calls: trained anew at every refresh, or nothing to train."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.models.baselines import EASE, ItemKNN
from recbench.models.streaming.kernels import history_weights, parts_of
from recbench.models.streaming.transitions import Transitions
from recbench.tables.click_stream import ClickStream, Histories
from recbench.tables.queries import InteractionLog
from recbench.tables.vocabulary import Vocabulary

__all__ = ["NextItemCounters", "OnlyPopular", "RetrainedEASE", "RetrainedItemKNN"]

Ints = npt.NDArray[np.int64]
Parts = dict[str, npt.NDArray[np.generic]]

FILLS_UP = 1e-9  # popularity only orders what a baseline says nothing of


@dataclass(frozen=True, slots=True)
class OnlyPopular:
    """Recency popularity alone: nothing is learned but statistics."""

    n_items: int
    prior: float = 1.0

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """The same."""
        return self

    def parts(self) -> Parts:
        """What a release serves by."""
        return {}

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """(Q, n_items) of nothing."""
        return sparse.csr_matrix((len(histories), self.n_items))


@dataclass(frozen=True, slots=True, eq=False)
class NextItemCounters:
    """How often each item came right after the newest one: naive, and hard to beat per line."""

    transitions: Transitions
    prior: float = FILLS_UP

    @classmethod
    def nothing(cls, stream: ClickStream) -> Self:
        """Before the first click."""
        return cls(Transitions.nothing(len(stream.items), reach=1, back=0.0, length=1))

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """The same with the clicks that were known before ``to``, microseconds."""
        return replace(self, transitions=self.transitions.learned(stream, to=to))

    def parts(self) -> Parts:
        """What a release serves by."""
        return self.transitions.parts()

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """(Q, n_items) shares of what followed the newest click."""
        return self.transitions.scores(histories)


@dataclass(frozen=True, slots=True, eq=False)
class RetrainedItemKNN:
    """`ItemKNN`, fitted from the beginning at every refresh."""

    model: ItemKNN | None = None
    prior: float = FILLS_UP

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """A new fit on all clicks that were known before ``to``, microseconds."""
        return replace(self, model=ItemKNN.fit(_log(stream, to)))

    def parts(self) -> Parts:
        """What a release serves by."""
        assert self.model is not None
        return parts_of("similarity", self.model.similarity.tocsr())

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """(Q, n_items) summed similarity to the history."""
        assert self.model is not None
        similarity = self.model.similarity
        held = _is_held(histories, n_items=similarity.shape[0])
        found: sparse.csr_matrix = (held @ similarity).tocsr()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class RetrainedEASE:
    """`EASE`, fitted from the beginning at every refresh, of the items that are clicked most."""

    n_items: int
    model: EASE | None = None
    item_rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # ascending
    prior: float = FILLS_UP
    most_items: int = 3_000  # a fit inverts a matrix of so many rows

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """A new fit on all clicks that were known before ``to``, microseconds."""
        n_known = int(stream.n_known(to))
        clicks = np.bincount(stream.item_rows[:n_known], minlength=len(stream.items))
        most = np.argsort(-clicks, kind="stable")[: self.most_items]
        rows = np.sort(most[clicks[most] > 0])
        return replace(self, model=EASE.fit(_log(stream, to, only=rows)), item_rows=rows)

    def parts(self) -> Parts:
        """What a release serves by."""
        assert self.model is not None
        return {"weights": self.model.weights, "item_rows": self.item_rows}

    def scores(self, histories: Histories) -> npt.NDArray[np.float64]:
        """(Q, n_items) summed weights of the history, dense: they may be negative."""
        assert self.model is not None
        held = _is_held(histories, n_items=self.n_items)
        scores = np.zeros(held.shape)
        scores[:, self.item_rows] = held.tocsc()[:, self.item_rows] @ self.model.weights
        return scores


def _is_held(histories: Histories, *, n_items: int) -> sparse.csr_matrix:
    """(Q, n_items): 1 where the item is in the history."""
    held = history_weights(histories, n_items=n_items, fade=0.0)
    held.data[:] = 1.0
    return held


def _log(stream: ClickStream, to: int, *, only: Ints | None = None) -> InteractionLog:
    """What was known before ``to``; ``only``: of these item rows, ascending, which get new ones."""
    order: Ints = stream.order[stream.order < stream.n_known(to)]
    items, item_rows = stream.items, stream.item_rows[order]
    if only is not None:
        items, kept = Vocabulary(stream.items.ids[only]), np.isin(item_rows, only)
        order, item_rows = order[kept], np.searchsorted(only, item_rows[kept])
    unknown = np.full(len(order), -1.0, dtype=np.float32)
    return InteractionLog(
        stream.users,
        items,
        stream.user_rows[order],
        item_rows,
        stream.ts[order],
        watch_ratio=unknown,
        propensity=unknown,
    )
