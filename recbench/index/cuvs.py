"""Exact top-k on an NVIDIA GPU, through cuVS."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.index.checks import check_rows, check_search, placed
from recbench.index.protocol import Bools, Floats, Ints

__all__ = ["CuvsIndex"]


@dataclass(frozen=True, slots=True, eq=False)
class CuvsIndex:
    """Candidates on the device, searched whole; see `Index` for the calls.

    A GPU scans a million candidates in less time than it takes to choose cells for one query, so
    nothing is approximate. Chosen by name, never by what happens to be installed.
    """

    candidate_embeddings: Floats  # (C, D), by item row
    shown: Bools  # (C,)
    on_device: Any  # cuVS's index of the same embeddings

    @classmethod
    def build(cls, candidate_embeddings: Floats, *, hidden: Ints | None = None) -> Self:
        """Copies (C, D) embeddings to the device.

        Raises:
            InputError: cuVS or cupy is not installed.
        """
        cupy, brute_force, _ = _cuvs()
        shown = np.ones(len(candidate_embeddings), dtype=np.bool_)
        if hidden is not None:
            shown[hidden] = False
        device = cupy.asarray(np.ascontiguousarray(candidate_embeddings, dtype=np.float32))
        built = brute_force.build(device, metric="inner_product")
        return cls(candidate_embeddings, shown, built)

    def __len__(self) -> int:
        """The number of item rows, hidden ones included."""
        return len(self.candidate_embeddings)

    @property
    def n_bytes(self) -> int:
        """On the host; the device holds the embeddings once more."""
        return int(self.candidate_embeddings.nbytes + self.shown.nbytes)

    def with_candidates(self, item_rows: Ints, candidate_embeddings: Floats) -> Self:
        """As `Index` says; copies all embeddings to the device."""
        grown = placed(self.candidate_embeddings, item_rows, candidate_embeddings)
        shown = np.append(self.shown, np.ones(len(grown) - len(self), dtype=np.bool_))
        shown[item_rows] = True
        return replace(self.build(grown), shown=shown)

    def without(self, item_rows: Ints) -> Self:
        """As `Index` says; shares what is on the device."""
        check_rows(item_rows, n_rows=len(self))
        shown = self.shown.copy()
        shown[item_rows] = False
        return replace(self, shown=shown)

    def search(
        self,
        query_embeddings: Floats,
        *,
        k: int,
        excluded: tuple[Ints, Ints] | None = None,
        allowed: Bools | None = None,
    ) -> tuple[Ints, Floats]:
        """As `Index` says; ties go to any row."""
        dim = self.candidate_embeddings.shape[1]
        check_search(query_embeddings, allowed, dim=dim, n_rows=len(self))
        if k < 1:
            raise InputError(f"`k` must be at least 1, got {k}")
        if np.isnan(query_embeddings).any():
            raise InputError(f"{np.isnan(query_embeddings).any(axis=1).sum()} queries are NaN")
        cupy, brute_force, filters = _cuvs()
        open_rows = self.shown if allowed is None else self.shown & allowed
        may = np.tile(open_rows, (len(query_embeddings), 1))  # (Q, C)
        if excluded is not None:
            may[excluded] = False
        if not may.size:
            return _filled_up(may.astype(np.int64), may.astype(np.float32), k=k, n_open=may.sum(1))
        scores, rows = brute_force.search(
            self.on_device,
            cupy.asarray(np.ascontiguousarray(query_embeddings, dtype=np.float32)),
            min(k, len(self)),
            prefilter=filters.from_bitmap(cupy.asarray(_words(may))),
        )
        rows, scores = cupy.asnumpy(rows), cupy.asnumpy(scores)
        return _filled_up(rows, scores, k=k, n_open=may.sum(axis=1))


def _words(may: Bools) -> npt.NDArray[np.uint32]:
    """(Q, C) as bits, one query after another without a gap between them."""
    bits = np.packbits(may.reshape(-1), bitorder="little")
    return np.pad(bits, (0, -len(bits) % 4)).view(np.uint32)


def _filled_up(rows: Ints, scores: Floats, *, k: int, n_open: Ints) -> tuple[Ints, Floats]:
    """(Q, width) -> (Q, k), -1 and -inf beyond the (Q,) rows that were open."""
    width = min(k, rows.shape[1])
    wide_rows = np.full((len(rows), k), -1, dtype=np.int64)
    wide_scores = np.full((len(rows), k), -np.inf, dtype=np.float32)
    held = np.arange(width) < n_open[:, None]
    wide_rows[:, :width] = np.where(held, rows[:, :width], -1)
    wide_scores[:, :width] = np.where(held, scores[:, :width], -np.inf)
    return wide_rows, wide_scores


def _cuvs() -> tuple[Any, Any, Any]:
    try:
        import cupy
        from cuvs.neighbors import brute_force, filters
    except ModuleNotFoundError as error:
        raise InputError(
            f"An index on the GPU needs {error.name}, which is not installed here; "
            "environments/README.md says how to install the gpu environment"
        ) from error
    return cupy, brute_force, filters
