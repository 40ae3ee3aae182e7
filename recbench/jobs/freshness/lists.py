"""The best items of many requests, from learned scores, popularity, and what may be shown."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recbench.index.exact import top_k

__all__ = ["Shelf", "best_items", "looked_up", "scores_of"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Scores = sparse.csr_matrix | Floats

DENSE_ABOVE = 0.15  # share of cells from which on whole rows are cheaper


@dataclass(frozen=True, eq=False)
class Shelf:
    """Statistics by release, and since when each item is known."""

    shares: Floats  # (S, n_items) popularity of each release of the statistics
    first_known: Ints  # (n_items,) microseconds
    _orders: dict[int, Ints] = field(default_factory=dict)

    def popular(self, release: int, *, known_before: int, n: int) -> Ints:
        """The ``n`` most popular items that were known before an instant, ties by lower row."""
        if release not in self._orders:
            self._orders[release] = np.argsort(-self.shares[release], kind="stable")
        order = self._orders[release]
        return order[self.first_known[order] < known_before][:n]


def best_items(
    scores: Scores,
    shelf: Shelf,
    *,
    prior: float,
    statistics: Ints,
    known_before: Ints,
    seen: sparse.csr_matrix | None,
    k: int,
) -> Ints:
    """(Q, k) item rows of largest ``scores + prior * popularity``, ties by lower row, ending in -1.

    Args:
        scores: (Q, n_items); a sparse one holds no negative values.
        shelf: popularity and ages.
        prior: > 0, weight of popularity's shares.
        statistics: (Q,) which release of the statistics serves.
        known_before: (Q,) microseconds: items that were not known by then cannot be shown.
        seen: (Q, n_items) non-zero where an item must not be shown.
        k: list length.
    """
    if isinstance(scores, np.ndarray):
        return _of_rows(scores, shelf, prior, statistics, known_before, seen, k)
    if scores.nnz > DENSE_ABOVE * scores.shape[0] * scores.shape[1]:
        return _of_rows(scores.toarray(), shelf, prior, statistics, known_before, seen, k)
    n_items = scores.shape[1]
    owner = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    keys = owner * n_items + scores.indices
    # an item without a score of its own can only win if it is among the most popular ones
    n_popular = k + (int(np.diff(seen.indptr).max(initial=0)) if seen is not None else 0)
    more = _popular_keys(shelf, statistics, known_before, n_popular, n_items)
    more = more[~np.isin(more, keys)]
    keys = np.concatenate([keys, more])
    owner, columns = keys // n_items, keys % n_items
    own = np.concatenate([scores.data, np.zeros(len(more))])
    values = own + prior * shelf.shares[statistics[owner], columns]
    kept = shelf.first_known[columns] < known_before[owner]
    if seen is not None:
        taken = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)) * n_items + seen.indices
        kept &= ~np.isin(keys, taken)
    return _first_of_each(owner[kept], columns[kept], values[kept], n=scores.shape[0], k=k)


def scores_of(
    scores: Scores, shelf: Shelf, *, prior: float, statistics: Ints, owner: Ints, columns: Ints
) -> Floats:
    """What (P,) items get in the requests ``owner`` of a batch."""
    return looked_up(scores, owner, columns) + prior * shelf.shares[statistics[owner], columns]


def looked_up(scores: Scores, owner: Ints, columns: Ints) -> Floats:
    """(P,) single values of a matrix."""
    if isinstance(scores, sparse.csr_matrix):
        scores.sum_duplicates()  # sorts, without which each value is looked for from the left
    return np.asarray(scores[owner, columns], dtype=np.float64).ravel()


def _of_rows(
    scores: Floats,
    shelf: Shelf,
    prior: float,
    statistics: Ints,
    known_before: Ints,
    seen: sparse.csr_matrix | None,
    k: int,
) -> Ints:
    total = scores + prior * shelf.shares[statistics]
    total[shelf.first_known >= known_before[:, None]] = -np.inf
    excluded = None
    if seen is not None:
        found = seen.tocoo()
        excluded = found.row.astype(np.int64), found.col.astype(np.int64)
    return top_k(total, k=k, excluded=excluded)[0]  # type: ignore[arg-type]  # doubles, as well


def _popular_keys(shelf: Shelf, statistics: Ints, known_before: Ints, n: int, n_items: int) -> Ints:
    """Request and item, as one number each, of the most popular items of each request."""
    pairs, which = np.unique(np.stack([statistics, known_before]), axis=1, return_inverse=True)
    keys = []
    for number, (release, before) in enumerate(pairs.T.tolist()):
        owners = np.flatnonzero(which.ravel() == number)
        items = shelf.popular(release, known_before=before, n=n)
        keys.append((owners[:, None] * n_items + items).ravel())
    return np.concatenate(keys)


def _first_of_each(owner: Ints, columns: Ints, values: Floats, *, n: int, k: int) -> Ints:
    order = np.lexsort((columns, -values, owner))
    owner, columns = owner[order], columns[order]
    place = np.arange(len(owner)) - np.searchsorted(owner, owner, side="left")
    rows = np.full((n, k), -1, dtype=np.int64)
    kept = place < k
    rows[owner[kept], place[kept]] = columns[kept]
    return rows
