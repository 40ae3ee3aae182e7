"""What is clicked soon after, and soon before, each item: counters that fade with time."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.models.streaming.kernels import history_weights, parts_of
from recbench.tables.click_stream import ClickStream, Histories

__all__ = ["Transitions"]


@dataclass(frozen=True)
class Transitions:
    """Pairs of clicks of one user at most ``reach`` apart, of the first ``n_known`` clicks."""

    counts: sparse.csr_matrix  # (n_items, n_items): row = history item, column = candidate
    at: int  # microseconds: what the counts are as of
    n_known: int
    reach: int = 3  # clicks
    back: float = 0.5  # weight of a pair the other way round
    half_life_s: float = float("inf")
    fade: float = 1.0  # of the history, see `history_weights`
    length: int = 20  # newest clicks that are asked about

    @classmethod
    def nothing(cls, n_items: int, **dials: float) -> Self:
        """Before the first click."""
        return cls(sparse.csr_matrix((n_items, n_items)), 0, 0, **dials)  # type: ignore[arg-type]  # dials by name

    def learned(self, stream: ClickStream, *, to: int) -> Self:
        """The same with the clicks that were known before ``to``, microseconds.

        A pair d apart weighs ``1 / d``, halved for every half-life since the later of its clicks.
        """
        n_known = int(stream.n_known(to))
        faded = self.counts * self._fading(to - self.at) if self.at else self.counts
        positions = np.arange(self.n_known, n_known)
        slots = stream.slots[positions]
        first = stream.starts[stream.user_rows[positions]]
        items = stream.item_rows
        fading = np.exp2(-(to - stream.known_at[positions]) / (self.half_life_s * 1e6))
        counts = faded
        for apart in range(1, self.reach + 1):
            has = slots - apart >= first
            before = items[stream.order[slots[has] - apart]]
            after, weight = items[positions[has]], fading[has] / apart
            pairs = sparse.csr_matrix((weight, (before, after)), shape=counts.shape)
            counts = counts + pairs + (self.back * pairs.T if self.back else 0 * pairs)
        return replace(self, counts=counts.tocsr(), at=to, n_known=n_known)

    def scores(self, histories: Histories) -> sparse.csr_matrix:
        """(Q, n_items) shares, each row summing to at most 1; empty without a history."""
        weights = history_weights(
            histories, n_items=self.counts.shape[0], fade=self.fade, length=self.length
        )
        found: sparse.csr_matrix = (weights @ self.shares).tocsr()
        return found

    @cached_property
    def shares(self) -> sparse.csr_matrix:
        """The counts of each row as shares of their sum."""
        sums = np.asarray(self.counts.sum(axis=1)).ravel()
        scale = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
        shares: sparse.csr_matrix = sparse.diags_array(scale).dot(self.counts).tocsr()
        return shares

    def parts(self) -> dict[str, npt.NDArray[np.generic]]:
        """What a release serves by."""
        return parts_of("follow", self.shares)

    def _fading(self, elapsed_us: int) -> float:
        return float(np.exp2(-elapsed_us / (self.half_life_s * 1e6)))
