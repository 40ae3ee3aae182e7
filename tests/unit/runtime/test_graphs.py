"""A graph takes new weights wherever the old ones were, whatever these were."""

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from recbench.runtime.graphs import export_graph, patched_graph


@pytest.fixture
def untrained():
    """Two layers whose biases are equal, and zero as a sum's neutral element is."""
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).eval()
    for name, weight in module.named_parameters():
        nn.init.zeros_(weight) if "bias" in name else nn.init.ones_(weight)
    return module


def test_weights_that_are_equal_when_exported_may_differ_later(untrained, tmp_path):
    path = tmp_path / "graph.onnx"
    export_graph(
        untrained,
        [torch.zeros(2, 3)],
        path,
        inputs=["given"],
        output="found",
        shapes=[{0: torch.export.Dim("batch")}],
    )
    held = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
    }
    for name, weight in untrained.state_dict().items():
        torch.testing.assert_close(held[name], weight)

    torch.manual_seed(0)
    trained = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).eval()
    assert patched_graph(path, trained.state_dict(), tmp_path / "patched.onnx")
    given = torch.rand(5, 3)
    session = onnxruntime.InferenceSession(tmp_path / "patched.onnx")
    (found,) = session.run(None, {"given": given.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), trained(given))
