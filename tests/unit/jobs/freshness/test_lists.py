import numpy as np
import pytest
from scipy import sparse

from recbench.jobs.freshness import lists as module
from recbench.jobs.freshness.lists import Shelf, best_items


def naive(scores, shelf, *, prior, statistics, known_before, seen, k):
    rows = []
    for q in range(scores.shape[0]):
        total = scores.toarray()[q] + prior * shelf.shares[statistics[q]]
        able = [
            i
            for i in range(len(total))
            if shelf.first_known[i] < known_before[q] and not (seen is not None and seen[q, i])
        ]
        best = sorted(able, key=lambda i: (-total[i], i))[:k]
        rows.append(best + [-1] * (k - len(best)))
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("dense_above", [0.0, 2.0])
def test_the_best_items_are_those_of_a_sort_of_all(seed, masks, dense_above, monkeypatch):
    monkeypatch.setattr(module, "DENSE_ABOVE", dense_above)
    rng = np.random.default_rng(seed)
    n_requests, n_items = 12, 30
    shelf = Shelf(rng.integers(0, 4, (3, n_items)) / 10, rng.integers(0, 100, n_items))
    values = rng.integers(0, 5, (n_requests, n_items)) * (rng.random((n_requests, n_items)) < 0.2)
    scores = sparse.csr_matrix(values.astype(float))
    seen = sparse.csr_matrix((rng.random((n_requests, n_items)) < 0.2).astype(float))
    asked = {
        "prior": 1.0,
        "statistics": rng.integers(0, 3, n_requests),
        "known_before": rng.integers(1, 100, n_requests),
        "seen": seen if masks else None,
        "k": 6,
    }

    found = best_items(scores, shelf, **asked)

    assert found.tolist() == naive(scores, shelf, **asked)
