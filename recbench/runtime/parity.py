"""Whether two runtimes of one tower give the same answers: by value, and by what is listed."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recbench.errors import InputError
from recbench.index.protocol import Index
from recbench.runtime.protocol import QueryTower, TowerInputs

__all__ = ["Parity", "lists_overlap", "parity"]

REQUESTS_PER_BATCH = 512
MOST_LISTED = 200
SEARCHED_AT_ONCE = 8  # a large catalogue goes through memory once for so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """One runtime against another over real requests; plain numbers, for a manifest."""

    largest_difference: float  # of one value of a query embedding
    overlap: float  # shared items of both lists over their length, mean over requests
    worst_overlap: float  # of one request
    k: int  # the length of the lists
    n_listed: int  # requests whose lists were compared
    n_queries: int

    def to_json(self, prefix: str = "") -> dict[str, Any]:
        """Name -> number, each name after ``prefix``."""
        return {prefix + name: value for name, value in asdict(self).items()}


def parity(
    reference: QueryTower,
    other: QueryTower,
    requests: TowerInputs,
    index: Index,
    *,
    k: int = 20,
    n_listed: int = MOST_LISTED,
) -> Parity:
    """``other`` against ``reference``.

    Args:
        reference: torch, or ONNX in float32.
        other: the same tower by other means.
        requests: inputs of real requests.
        index: of the candidates, searched with both query embeddings.
        k: list length.
        n_listed: requests whose lists are compared, evenly among all; their values all are.

    Raises:
        InputError: no requests.
    """
    rows, age_s, watched, window = requests
    if not len(rows):
        raise InputError("Parity is measured on real requests: `requests` holds none")
    listed = np.unique(np.linspace(0, len(rows) - 1, n_listed).astype(np.int64))
    differences: list[float] = []
    overlaps: list[float] = []
    for start in range(0, len(rows), REQUESTS_PER_BATCH):
        part = slice(start, start + REQUESTS_PER_BATCH)
        asked = rows[part], age_s[part], watched[part], window[part]
        ours, theirs = reference(*asked), other(*asked)
        differences.append(float(np.abs(ours - theirs).max()))
        here = listed[(listed >= start) & (listed < start + len(ours))] - start
        for some in np.split(here, range(SEARCHED_AT_ONCE, len(here), SEARCHED_AT_ONCE)):
            lists = (index.search(tower[some], k=k)[0] for tower in (ours, theirs))
            overlaps += [lists_overlap(*pair) for pair in zip(*lists, strict=True)]
    return Parity(
        largest_difference=max(differences),
        overlap=float(np.mean(overlaps)),
        worst_overlap=float(min(overlaps)),
        k=k,
        n_listed=len(overlaps),
        n_queries=len(rows),
    )


def lists_overlap(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> float:
    """Shared item rows of two lists over the longer one's length; rows of -1 are no items."""
    ours, theirs = ours[ours >= 0], theirs[theirs >= 0]
    longest = max(len(ours), len(theirs))
    return len(np.intersect1d(ours, theirs)) / longest if longest else 1.0
