"""Whether two runtimes of one tower give the same answers: by value, and by what is listed."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recbench.errors import InputError
from recbench.index.protocol import Index
from recbench.runtime.protocol import QueryTower, TowerInputs

__all__ = ["Parity", "parity"]

REQUESTS_PER_BATCH = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """One runtime against another over real requests; plain numbers, for a manifest."""

    largest_difference: float  # of one value of a query embedding
    overlap: float  # shared items of both lists over their length, mean over requests
    worst_overlap: float  # of one request
    k: int  # the length of the lists
    n_queries: int

    def to_json(self, prefix: str = "") -> dict[str, Any]:
        """Name -> number, each name after ``prefix``."""
        return {prefix + name: value for name, value in asdict(self).items()}


def parity(
    reference: QueryTower, other: QueryTower, requests: TowerInputs, index: Index, *, k: int = 20
) -> Parity:
    """``other`` against ``reference``.

    Args:
        reference: torch, or ONNX in float32.
        other: the same tower by other means.
        requests: inputs of real requests.
        index: of the candidates, searched with both query embeddings.
        k: list length.

    Raises:
        InputError: no requests.
    """
    if not len(requests[0]):
        raise InputError("Parity is measured on real requests: `requests` holds none")
    rows, age_s, watched, window = requests
    differences: list[float] = []
    overlaps: list[float] = []
    for start in range(0, len(rows), REQUESTS_PER_BATCH):
        part = slice(start, start + REQUESTS_PER_BATCH)
        asked = rows[part], age_s[part], watched[part], window[part]
        ours, theirs = reference(*asked), other(*asked)
        differences.append(float(np.abs(ours - theirs).max()))
        listed = (index.search(embedded, k=k)[0] for embedded in (ours, theirs))
        overlaps += [_overlap(*pair) for pair in zip(*listed, strict=True)]
    return Parity(
        largest_difference=max(differences),
        overlap=float(np.mean(overlaps)),
        worst_overlap=float(min(overlaps)),
        k=k,
        n_queries=len(overlaps),
    )


def _overlap(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> float:
    ours, theirs = ours[ours >= 0], theirs[theirs >= 0]
    longest = max(len(ours), len(theirs))
    return len(np.intersect1d(ours, theirs)) / longest if longest else 1.0
