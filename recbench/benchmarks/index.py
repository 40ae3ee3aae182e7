"""What an index costs and finds as a catalogue grows: of real vectors and of copies of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recbench.errors import InputError
from recbench.index import choose_index

__all__ = ["SIZES", "index_figures", "perturbed_copies"]

SIZES = (10_000, 100_000, 1_000_000)
SPREAD = 0.5  # of a copy: the length of its step in taste, and of its prior in logarithms
QUERIES = 200  # of those given
Floats = npt.NDArray[np.float32]


def perturbed_copies(
    candidates: Floats, n: int, *, seed: int = 0, spread: float = SPREAD
) -> Floats:
    """``n`` candidates: those of a trained catalogue, then copies of them moved a little.

    A catalogue of 1 M items that were really clicked is not at hand; copies keep what makes it
    hard, crowded tastes and a heavy tail of popularity. A copy's taste moves by ``spread`` and is
    a unit vector again, its prior by as much, its popularity by the same factor.

    Args:
        candidates: (C, D + 2) of a two-tower: unit taste, prior, popularity.
        n: how many; up to C it is the first ``n`` themselves.
        seed: of the steps.
        spread: of the steps.
    """
    rng = np.random.default_rng(seed)
    grown = candidates[np.arange(n) % len(candidates)]
    first = min(n, len(candidates))
    taste = grown[first:, :-2]
    step = rng.standard_normal(taste.shape, dtype=np.float32)
    taste += step * np.float32(spread / np.sqrt(taste.shape[1]))
    taste /= np.linalg.norm(taste, axis=1, keepdims=True)
    moved = rng.standard_normal(n - first, dtype=np.float32) * np.float32(spread)
    grown[first:, -2] += moved
    grown[first:, -1] *= np.exp(moved)
    return grown


def index_figures(
    candidates: Floats,
    queries: Floats,
    *,
    sizes: Sequence[int] = SIZES,
    k: int = 20,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row an index that was tried, at each size and at the catalogue's own.

    ``n_candidates``, ``is_real`` (no copies), ``is_chosen``, then what `index.choose.Measured`
    holds: settings, recall@k, latency of one query in process, build time and bytes.

    Args:
        candidates: (C, D + 2) of a trained catalogue.
        queries: (Q, D + 2) of real requests; some hundreds are used.
        sizes: catalogue sizes.
        k: list length.
        seed: of the copies, and of the choice of queries.

    Raises:
        InputError: no candidates.
    """
    if not len(candidates):
        raise InputError("`candidates` holds none: give those of a trained catalogue")
    few = min(QUERIES, len(queries))
    asked = queries[np.random.default_rng(seed).choice(len(queries), few, replace=False)]
    rows = []
    for n in sorted({len(candidates), *sizes}):
        choice = choose_index(perturbed_copies(candidates, n, seed=seed), asked, k=k)
        rows += [
            {
                "n_candidates": n,
                "is_real": n <= len(candidates),
                "is_chosen": tried is choice.chosen,
                "k": k,
                **tried.to_json(),
            }
            for tried in choice.tried
        ]
    return rows
