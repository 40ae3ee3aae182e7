"""What can be tested of TensorRT without it."""

import sys

import pytest

from recbench.errors import InputError
from recbench.runtime.tensorrt import TensorRTQueryTower, build_engine


def test_without_tensorrt_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(
        InputError, match=r"pip install 'recbench\[tensorrt\]'\. `runtime\.tensorrt_check`"
    ):
        build_engine(tmp_path / "graph.onnx", tmp_path / "engine")
    with pytest.raises(InputError, match="tensorrt is not installed here"):
        TensorRTQueryTower(tmp_path / "engine", n_items=3)
    assert list(tmp_path.iterdir()) == []
