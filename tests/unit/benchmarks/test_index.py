import json

import numpy as np
import pytest

from recbench.benchmarks.index import index_figures, perturbed_copies
from recbench.errors import InputError


@pytest.fixture
def candidates():
    rng = np.random.default_rng(0)
    taste = rng.standard_normal((300, 14))
    taste /= np.linalg.norm(taste, axis=1, keepdims=True)
    others = rng.pareto(1.5, (300, 2))
    return np.concatenate([taste, others], axis=1).astype(np.float32)


def test_copies_are_near_their_originals_and_as_long(candidates):
    grown = perturbed_copies(candidates, 900, seed=1)
    np.testing.assert_array_equal(grown[:300], candidates)
    np.testing.assert_allclose(np.linalg.norm(grown[:, :-2], axis=1), 1, rtol=1e-5)
    alike = np.einsum("id,id->i", grown[300:600, :-2], candidates[:, :-2])
    assert 0.8 < alike.mean() < 0.95  # a step of half a unit: cos(atan(.5)) = .894
    assert not (grown[300:] == grown[:300].repeat(2, axis=0)).all()


def test_copies_are_the_same_for_the_same_seed(candidates):
    ours, again = (perturbed_copies(candidates, 700, seed=2) for _ in range(2))
    np.testing.assert_array_equal(ours, again)
    assert (perturbed_copies(candidates, 700, seed=3) != ours).any()


def test_a_smaller_catalogue_is_a_part_of_the_real_one(candidates):
    np.testing.assert_array_equal(perturbed_copies(candidates, 10), candidates[:10])


def test_figures_are_given_at_each_size_and_at_the_real_one(candidates):
    queries = candidates[:40] * 3
    rows = json.loads(json.dumps(index_figures(candidates, queries, sizes=(100, 21_000))))
    assert {row["n_candidates"] for row in rows} == {100, 300, 21_000}
    assert {row["n_candidates"] for row in rows if row["is_real"]} == {100, 300}
    chosen = [row for row in rows if row["is_chosen"]]
    assert len(chosen) == 3
    assert all(row["recall"] >= 0.99 for row in chosen)
    assert any(row["settings"] for row in rows if row["n_candidates"] == 21_000)


def test_copies_of_nothing_are_refused(candidates):
    with pytest.raises(InputError, match="`candidates` holds none"):
        index_figures(candidates[:0], candidates)
