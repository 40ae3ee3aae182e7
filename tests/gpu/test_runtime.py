"""The exported tower on the GPU gives what it gives on the CPU."""

import importlib.util

import numpy as np
import pytest
import torch

from recbench.models.frozen import FrozenQueryTower
from recbench.models.query_towers import PooledQueryTower
from recbench.runtime.export import export_query_tower
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.torch import TorchQueryTower

pytestmark = pytest.mark.gpu

N_ITEMS, DIM = 50, 16


class Frozen:
    """What an export asks of a model."""

    history_length = 8
    window_features = staticmethod(lambda users, ts: np.zeros((len(users), 2), np.float32))

    def __init__(self, seed):
        torch.manual_seed(seed)
        tower = PooledQueryTower(n_window_features=2, embedding_dim=DIM, hidden_dim=DIM)
        self.query_tower = FrozenQueryTower(tower, torch.randn(N_ITEMS, DIM)).eval()


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Two graphs of other weights, and what torch says of each."""
    folder = tmp_path_factory.mktemp("graphs")
    models = [Frozen(seed) for seed in (0, 1)]
    for number, model in enumerate(models):
        export_query_tower(model, folder / f"{number}.onnx")
    return folder, [TorchQueryTower(model.query_tower) for model in models]


def requests(n=5):
    rng = np.random.default_rng(0)
    rows = rng.integers(-1, N_ITEMS, (n, 8))
    draw = lambda *shape: rng.random(shape, dtype=np.float32)  # noqa: E731  # one line, used thrice below
    return rows, draw(n, 8) * 1e6, draw(n, 8), draw(n, 2)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_onnx_runtime_on_the_gpu_agrees_with_torch(graphs, provider, tmp_path):
    import onnxruntime

    names = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
    if names[provider] not in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has no {names[provider]}")
    folder, (reference, _) = graphs
    tower = OnnxQueryTower(folder / "0.onnx", n_items=N_ITEMS, provider=provider, cache=tmp_path)
    np.testing.assert_allclose(tower(*requests()), reference(*requests()), atol=1e-3)


def test_a_tensorrt_engine_agrees_with_torch_and_takes_new_weights(graphs, tmp_path):
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("tensorrt is not installed")
    from recbench.runtime.tensorrt import TensorRTQueryTower, build_engine

    folder, (reference, other) = graphs
    cache = tmp_path / "timing.cache"
    build_engine(folder / "0.onnx", tmp_path / "engine", timing_cache=cache)
    assert cache.stat().st_size
    tower = TensorRTQueryTower(tmp_path / "engine", n_items=N_ITEMS)
    np.testing.assert_allclose(tower(*requests()), reference(*requests()), atol=1e-3)
    tower.refit(folder / "1.onnx")
    np.testing.assert_allclose(tower(*requests()), other(*requests()), atol=1e-3)
