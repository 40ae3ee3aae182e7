"""What is refused as a query tower, and what it answers."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from recbench.errors import InputError, ReleaseError
from recbench.runtime.onnx import INPUTS, OnnxQueryTower, _profile_options
from recbench.runtime.profiles import QUERY_TOWER_PROFILE


def write_tower(path, names=INPUTS):
    """Answers with the window features."""
    types = [TensorProto.INT64] + [TensorProto.FLOAT] * (len(names) - 1)
    inputs = [
        helper.make_tensor_value_info(name, kind, ["B", None])
        for name, kind in zip(names, types, strict=True)
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["B", None])
    node = helper.make_node("Identity", [names[-1]], ["out"])
    graph = helper.make_graph([node], "toy", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def request(*rows):
    rows = np.array([rows], dtype=np.int64)
    zeros = np.zeros(rows.shape, np.float32)
    return rows, zeros, zeros, np.array([[0.5, 2.0]], np.float32)


def test_it_answers_with_the_models_output(tmp_path):
    tower = OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3)
    assert tower(*request(-1, 0, 2)).tolist() == [[0.5, 2.0]]


def test_an_empty_batch_has_an_empty_answer(tmp_path):
    tower = OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3)
    assert tower(*(array[:0] for array in request(0))).shape == (0, 2)


@pytest.mark.parametrize(("row", "bounds"), [(3, "3 to 3"), (-2, "-2 to -2")])
def test_item_rows_outside_the_catalogue_are_refused(tmp_path, row, bounds):
    tower = OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3)
    with pytest.raises(InputError, match=rf"lie in \[-1, 3\), got {bounds}"):
        tower(*request(row))


def test_what_a_tower_does_not_look_at_is_not_given_to_it(tmp_path):
    names = ["history_rows", "history_age_s", "window_features"]
    tower = OnnxQueryTower(write_tower(tmp_path / "tower.onnx", names), n_items=3)
    assert tower(*request(-1, 0, 2)).tolist() == [[0.5, 2.0]]


@pytest.mark.parametrize(
    "shapes", [((2, 1), (2, 3), (2, 2)), ((2, 3), (2, 4), (2, 2)), ((2, 3), (2, 3), (1, 2))]
)
def test_shapes_that_do_not_belong_together_are_refused(tmp_path, shapes):
    tower = OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3)
    told = "histories (2, 3), got {}, {} and {}".format(*shapes)
    with pytest.raises(InputError, match=re.escape(told)):
        tower(np.zeros((2, 3), np.int64), *(np.zeros(shape, np.float32) for shape in shapes))


def test_a_model_with_other_inputs_is_no_query_tower(tmp_path):
    path = write_tower(tmp_path / "tower.onnx", names=["rows", "age", "window"])
    with pytest.raises(ReleaseError, match=r"takes \['rows', 'age', 'window'\], expected \['hist"):
        OnnxQueryTower(path, n_items=3)


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "tower.onnx").write_bytes(b"not a model")
    with pytest.raises(ReleaseError, match=r"tower.onnx is no ONNX model: .*"):
        OnnxQueryTower(tmp_path / "tower.onnx", n_items=3)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ReleaseError, match=r"absent\.onnx is no ONNX model"):
        OnnxQueryTower(tmp_path / "absent.onnx", n_items=3)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_installed_is_refused(tmp_path, monkeypatch, provider):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(InputError, match=rf"`provider='{provider}'` needs .*onnxruntime-gpu"):
        OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3, provider=provider)


def test_a_provider_that_does_not_start_is_not_replaced_by_another(tmp_path, monkeypatch):
    # as where the wheel has CUDA and the machine has not: ONNX Runtime itself goes on on the CPU
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: names)
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(InputError, match=r"'cuda'` did not start, .* \['CPUExecutionProvider'\]"),
    ):
        OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3, provider="cuda")


def test_an_unknown_provider_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"one of \['cpu', 'cuda', 'tensorrt'\], got 'rocm'"):
        OnnxQueryTower(write_tower(tmp_path / "tower.onnx"), n_items=3, provider="rocm")


def test_tensorrt_is_told_the_shapes_of_the_profile(exported):
    told = _profile_options(exported, QUERY_TOWER_PROFILE)
    assert told["trt_profile_max_shapes"].startswith("history_rows:64x200,history_age_s:64x200")
    assert set(told) == {f"trt_profile_{word}_shapes" for word in ("min", "opt", "max")}
