"""An item that came later is embedded as the towers themselves would, but for its id."""

import numpy as np
import onnxruntime
import pytest
import torch

from recbench.runtime.candidates import CANDIDATE_INPUTS, FrozenCandidateTower
from recbench.runtime.profiles import Profile, Range
from recbench.runtime.tensorrt_check import tensorrt_findings


@pytest.fixture
def candidate_tower(tiny_release):
    """That of `tiny_fit`."""
    return tiny_release.path("candidate_tower.onnx")


def items(towers, rows):
    rng = np.random.default_rng(0)
    n_features = next(towers.candidates.shift.parameters()).shape[1]
    return [
        towers.items.category_rows[rows].numpy(),
        towers.items.title_rows[rows].numpy(),
        rng.standard_normal((len(rows), n_features), dtype=np.float32),
        rng.standard_normal(len(rows), dtype=np.float32),
        rng.random(len(rows), dtype=np.float32),
    ]


@pytest.mark.parametrize("n_items", [1, 5])
def test_the_exported_tower_is_that_of_torch(tiny_fit, candidate_tower, n_items):
    towers = tiny_fit.towers
    given = items(towers, np.arange(n_items))
    session = onnxruntime.InferenceSession(candidate_tower, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, dict(zip(CANDIDATE_INPUTS, given, strict=False)))
    with torch.no_grad():
        expected = FrozenCandidateTower(towers)(*map(torch.from_numpy, given)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape == (n_items, towers.candidates.dim + 1)


def test_without_an_id_it_is_the_item_of_the_catalogue(tiny_fit):
    towers = tiny_fit.towers
    rows = torch.arange(6)
    given = [torch.from_numpy(array) for array in items(towers, rows.numpy())]
    with torch.no_grad():
        known = towers.items(rows, torch.zeros(6, 1))  # as with the id dropped in training
        expected = towers.candidates(known, given[2], given[3])
        found = FrozenCandidateTower(towers)(*given)
    torch.testing.assert_close(found[:, :-1], expected)
    torch.testing.assert_close(found[:, -1], given[4])


def test_tensorrt_has_nothing_against_it(candidate_tower):
    assert tensorrt_findings(candidate_tower, Profile({"items": Range(1, 2, 50)})) == []
