"""cuVS finds what the exact index on the CPU finds."""

import importlib.util

import numpy as np
import pytest

from recbench.index import ExactIndex
from recbench.index.cuvs import CuvsIndex

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def vectors():
    if importlib.util.find_spec("cuvs") is None:
        pytest.skip("cuvs is not installed: see environments/gpu.txt")
    rng = np.random.default_rng(0)
    draw = rng.standard_normal
    return draw((5_003, 66), dtype=np.float32), draw((7, 66), dtype=np.float32)


def require_equal(on_gpu, on_cpu):
    np.testing.assert_array_equal(on_gpu[0], on_cpu[0])
    np.testing.assert_allclose(on_gpu[1], on_cpu[1], rtol=1e-4, atol=1e-4)


def test_lists_are_those_of_the_cpu(vectors):
    candidates, queries = vectors
    gpu, cpu = CuvsIndex.build(candidates), ExactIndex(candidates)
    require_equal(gpu.search(queries, k=20), cpu.search(queries, k=20))


def test_filters_are_those_of_the_cpu(vectors):
    candidates, queries = vectors
    rng = np.random.default_rng(1)
    hidden = rng.choice(len(candidates), 100, replace=False)
    gpu, cpu = CuvsIndex.build(candidates, hidden=hidden), ExactIndex(candidates, hidden)
    excluded = (rng.integers(7, size=900), rng.integers(len(candidates), size=900))
    for allowed in (None, rng.random(len(candidates)) < 0.1, np.arange(len(candidates)) < 3):
        options = {"k": 20, "excluded": excluded, "allowed": allowed}
        require_equal(gpu.search(queries, **options), cpu.search(queries, **options))


def test_changes_are_those_of_the_cpu(vectors):
    candidates, queries = vectors
    gone, new = np.array([3, 4]), np.arange(5_003, 5_010)
    changed = [
        index.with_candidates(new, queries).without(gone).search(queries, k=20)
        for index in (CuvsIndex.build(candidates), ExactIndex(candidates))
    ]
    require_equal(*changed)
