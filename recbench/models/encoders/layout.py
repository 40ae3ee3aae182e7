"""Sequences of unequal length: one flat run of events, a rectangle where events must meet.

Whatever looks at one event at a time works on the flat run, where nothing is padding. Attention and
recurrences take the rectangle, padded on the right: a causal layer never looks there, so no mask
is needed and the kernels that keep no L x L matrix apply.
"""

from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

__all__ = ["Layout", "Packed", "Rectangle"]


class Layout(Protocol):
    """T events of B sequences, the longest of L events."""

    @property
    def positions(self) -> Tensor:
        """(T,) int64 place of each event in its sequence, from 0."""
        ...

    @property
    def sequences(self) -> Tensor:
        """(T,) int64 which of the B sequences each event belongs to."""
        ...

    def rectangle(self, flat: Tensor) -> Tensor:
        """(T, ...) -> (B, L, ...), padded on the right with anything finite of ``flat``."""
        ...

    def flat(self, rectangle: Tensor) -> Tensor:
        """(B, L, ...) -> (T, ...); padding is left out."""
        ...


class Rectangle(NamedTuple):
    """B sequences of L cells each, padding included: T = B * L. What serving and ONNX use."""

    n_sequences: int
    length: int
    positions: Tensor  # (T,)

    @classmethod
    def of(cls, cells: Tensor) -> Self:
        """The layout of (B, L, ...) cells."""
        n_sequences, length = cells.shape[0], cells.shape[1]
        positions = torch.arange(length, device=cells.device).expand(n_sequences, length)
        return cls(n_sequences, length, positions.reshape(-1))

    @property
    def sequences(self) -> Tensor:
        """(T,)."""
        numbers = torch.arange(self.n_sequences, device=self.positions.device)
        return numbers[:, None].expand(-1, self.length).reshape(-1)

    def rectangle(self, flat: Tensor) -> Tensor:
        """(B * L, ...) -> (B, L, ...)."""
        return flat.reshape(self.n_sequences, self.length, *flat.shape[1:])

    def flat(self, rectangle: Tensor) -> Tensor:
        """(B, L, ...) -> (B * L, ...)."""
        return rectangle.reshape(self.n_sequences * self.length, *rectangle.shape[2:])


class Packed(NamedTuple):
    """B sequences one after another, without padding. What training uses."""

    positions: Tensor  # (T,)
    at: Tensor  # (B, L) the event of each cell; the sequence's last where padded
    cells: Tensor  # (T,) b * L + l of each event

    @classmethod
    def of(cls, lengths: Tensor) -> Self:
        """The layout of sequences with (B,) ``lengths``, each at least 1; B may be 0."""
        ends = lengths.cumsum(0)
        longest = torch.arange(int(lengths.max()) if len(lengths) else 1, device=lengths.device)
        at = (ends - lengths)[:, None] + torch.minimum(longest, lengths[:, None] - 1)  # (B, L)
        held = longest < lengths[:, None]
        positions = longest.expand_as(held)[held]
        return cls(positions, at, held.reshape(-1).nonzero()[:, 0])

    @property
    def sequences(self) -> Tensor:
        """(T,)."""
        return self.cells // self.at.shape[1]

    def rectangle(self, flat: Tensor) -> Tensor:
        """(T, ...) -> (B, L, ...)."""
        return flat[self.at]

    def flat(self, rectangle: Tensor) -> Tensor:
        """(B, L, ...) -> (T, ...)."""
        return rectangle.flatten(0, 1)[self.cells]
