"""What a history weighs: its newest click most, as sparse rows; and their arrays, for files."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.tables.click_stream import Histories

__all__ = ["history_weights", "parts_of"]


def history_weights(
    histories: Histories, *, n_items: int, fade: float, length: int | None = None
) -> sparse.csr_matrix:
    """(Q, n_items) float64; the p-th newest click weighs ``p ** -fade``, each row sums to 1.

    Args:
        histories: of Q requests; an empty one gives an empty row.
        n_items: of the catalogue.
        fade: >= 0; 0 weighs all clicks alike.
        length: how many of the newest count; default: all there are.
    """
    rows = histories.item_rows[:, :length]
    weights = np.arange(1, rows.shape[1] + 1, dtype=np.float64) ** -fade
    held = rows >= 0
    cells = held * weights
    cells /= np.maximum(cells.sum(axis=1, keepdims=True), 1e-300)
    indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    matrix = sparse.csr_matrix((cells[held], rows[held], indptr), shape=(len(rows), n_items))
    matrix.sum_duplicates()
    return matrix


def parts_of(name: str, matrix: sparse.csr_matrix) -> dict[str, npt.NDArray[np.generic]]:
    """The three arrays of a sparse matrix under names of their own, as a release writes them."""
    return {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
