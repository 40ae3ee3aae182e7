"""What an approximate index learns of a catalogue, apart from its rows: cells and codebooks.

A few hundred kilobytes that outlive the rows: a catalogue that has moved a little is searched as
well with the cells of before, and learning them is most of what an index costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np

from recbench.errors import InputError
from recbench.index.protocol import Floats, Ints

__all__ = ["Trained"]


def _nothing() -> Floats:
    return np.empty((0, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trained:
    """Plain arrays; empty where the index has no such part."""

    scale: Floats = field(default_factory=_nothing)  # (1, dim) to unit spread, before cells
    centroids: Floats = field(default_factory=_nothing)  # (n_lists, dim) of cells, scaled
    codebooks: Floats = field(default_factory=_nothing)  # (dim / 2 * 16, 2) of packed codes
    cells: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # (C,) of each row, if known

    def of_other_rows(self) -> Self:
        """The same for another catalogue, or for one whose embeddings have moved."""
        return type(self)(scale=self.scale, centroids=self.centroids, codebooks=self.codebooks)

    def check(self, *, dim: int, n_lists: int, n_codebook: int, n_rows: int) -> None:
        """Nothing, if these parts are of such an index.

        Args:
            dim: of its rows, filled up.
            n_lists: cells; 0 without.
            n_codebook: rows of all codebooks; 0 without.
            n_rows: of the catalogue.

        Raises:
            InputError: they are of another one.
        """
        expected = {
            "scale": (1, dim) if n_lists else (0, 0),
            "centroids": (n_lists, dim) if n_lists else (0, 0),
            "codebooks": (n_codebook, 2) if n_codebook else (0, 0),
        }
        for name, shape in expected.items():
            held = getattr(self, name)
            if held.shape != shape or not np.isfinite(held).all():
                raise InputError(f"`{name}` must be {shape} and finite, got {held.shape}")
        if len(self.cells) and (
            self.cells.shape != (n_rows,) or not 0 <= self.cells.min() <= self.cells.max() < n_lists
        ):
            raise InputError(
                f"`cells` must be ({n_rows},) in [0, {n_lists}), got {self.cells.shape} in "
                f"[{self.cells.min()}, {self.cells.max()}]"
            )

    def to_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """By name; cells in four bytes."""
        held = {one.name: np.ascontiguousarray(getattr(self, one.name)) for one in fields(self)}
        return held | {"cells": self.cells.astype(np.int32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Self:
        """What ``to_arrays`` gave."""
        held = {one.name: arrays[one.name] for one in fields(cls)}
        return cls(**held | {"cells": held["cells"].astype(np.int64)})
