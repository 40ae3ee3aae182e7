"""What every index checks of a call."""

import numpy as np

from recbench.errors import InputError
from recbench.index.protocol import Bools, Floats, Ints

__all__ = ["check_candidates", "check_finite", "check_rows", "check_search", "placed"]


def check_search(query_embeddings: Floats, allowed: Bools | None, *, dim: int, n_rows: int) -> None:
    """Nothing, if queries are (Q, ``dim``) and ``allowed`` is (``n_rows``,) bool or None."""
    if query_embeddings.shape[1:] != (dim,):
        raise InputError(
            f"Query embeddings have {query_embeddings.shape[1:]} dimensions, candidates ({dim},)"
        )
    if allowed is not None and (allowed.shape != (n_rows,) or allowed.dtype != np.bool_):
        raise InputError(
            f"`allowed` must have one bool an item row: expected ({n_rows},) bool, got "
            f"{allowed.shape} {allowed.dtype}"
        )


def check_candidates(item_rows: Ints, candidate_embeddings: Floats, *, n_rows: int) -> None:
    """Nothing, if the rows are distinct and leave no gap after ``n_rows``, one embedding each."""
    if candidate_embeddings.ndim != 2 or len(candidate_embeddings) != len(item_rows):
        raise InputError(
            f"`candidate_embeddings` must have one row an item: expected ({len(item_rows)}, D), "
            f"got {candidate_embeddings.shape}"
        )
    check_finite(candidate_embeddings)
    distinct = np.unique(item_rows)
    n_new = int((distinct >= n_rows).sum())
    if len(distinct) != len(item_rows) or (distinct < 0).any():
        raise InputError("`item_rows` must be distinct and not negative")
    if n_new and distinct[-1] != n_rows + n_new - 1:
        raise InputError(
            f"New item rows must follow the last one without a gap: expected {n_rows} to "
            f"{n_rows + n_new - 1}, got up to {distinct[-1]}"
        )


def check_finite(candidate_embeddings: Floats) -> None:
    """Nothing, if no embedding holds NaN or infinity."""
    if not np.isfinite(candidate_embeddings).all():
        n_bad = int((~np.isfinite(candidate_embeddings)).any(axis=1).sum())
        raise InputError(f"`candidate_embeddings` of {n_bad} items are not finite")


def check_rows(item_rows: Ints, *, n_rows: int) -> None:
    """Nothing, if all rows are of the index."""
    if len(item_rows) and not 0 <= item_rows.min() <= item_rows.max() < n_rows:
        raise InputError(
            f"Item rows must lie in [0, {n_rows}), got {item_rows.min()} to {item_rows.max()}"
        )


def placed(held: Floats, item_rows: Ints, candidate_embeddings: Floats) -> Floats:
    """A copy of ``held`` with embeddings at these rows, as many rows longer as are new."""
    check_candidates(item_rows, candidate_embeddings, n_rows=len(held))
    n_rows = max(len(held), int(item_rows.max(initial=-1)) + 1)
    grown = np.empty((n_rows, held.shape[1]), dtype=held.dtype)
    grown[: len(held)] = held
    grown[item_rows] = candidate_embeddings
    return grown
