import numpy as np
import pytest
from safetensors import safe_open

from recbench.errors import ReleaseError
from recbench.runtime import export
from recbench.runtime.onnx import OnnxQueryTower


def test_onnx_agrees_with_torch_on_known_and_unknown_users(tiny_fit, exported):
    users = np.append(tiny_fit.log.users.ids, 10**9)
    queries = tiny_fit.log.queries(users, tiny_fit.at)
    measured = export.onnx_parity(tiny_fit.model, exported, queries)
    assert measured.largest_difference < 1e-5
    assert measured.overlap > 0.999


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("length", [1, 7, 200])
def test_batch_and_length_are_free(tiny_fit, exported, batch, length):
    import torch

    rng = np.random.default_rng(0)
    n_items = len(tiny_fit.model.items)
    rows = rng.integers(-1, n_items, (batch, length))
    age = rng.random((batch, length), dtype=np.float32) * 1e6
    window = rng.random((batch, 2), dtype=np.float32)
    watched = rng.random((batch, length), dtype=np.float32)
    found = OnnxQueryTower(exported, n_items=n_items)(rows, age, watched, window)
    with torch.no_grad():
        inputs = (torch.from_numpy(array) for array in (rows, age, watched, window))
        expected = tiny_fit.model.query_tower(*inputs).numpy()
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_export_that_differs_is_not_released(tiny_fit, tiny_untrained, exported):
    queries = tiny_fit.log.queries(tiny_fit.log.users.ids, tiny_fit.at)
    with pytest.raises(ReleaseError, match="differs from torch by"):
        export.onnx_parity(tiny_untrained.model, exported, queries)


def test_weights_are_split_by_tower_without_loss(tiny_fit, tmp_path):
    export.save_towers(tiny_fit.towers, tmp_path)
    names = set()
    for file in ("query_tower.safetensors", "candidate_tower.safetensors"):
        with safe_open(tmp_path / file, framework="numpy") as held:
            names |= set(held.keys())
    assert names == set(tiny_fit.towers.state_dict())
