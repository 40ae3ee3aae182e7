"""Features of a candidate for a request, from the towers and from what is known besides."""

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError

__all__ = ["context_dim", "tower_context"]

Floats = npt.NDArray[np.floating]


def context_dim(embedding_dim: int, n_further: int) -> int:
    """How many features ``tower_context`` makes."""
    return embedding_dim + n_further + 2


def tower_context(query: Floats, candidates: Floats, further: Floats | None = None) -> Floats:
    """(C, d): one, the inner product, the product by dimension, and what is known besides.

    Args:
        query: (D,) of one request, or (C, D) of each candidate's.
        candidates: (C, D).
        further: (C, F) such as age, popularity now, position.

    Raises:
        InputError: shapes do not fit.
    """
    if query.shape[-1] != candidates.shape[1]:
        raise InputError(
            f"`query` has {query.shape[-1]} dimensions and `candidates` {candidates.shape[1]}"
        )
    agreement = candidates * query
    parts = [np.ones((len(candidates), 1)), agreement.sum(axis=1, keepdims=True), agreement]
    if further is not None:
        if len(further) != len(candidates):
            raise InputError(f"`further` has {len(further)} rows for {len(candidates)} candidates")
        parts.append(further)
    return np.concatenate(parts, axis=1)
