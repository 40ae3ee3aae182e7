"""Half precision and 8 bits: nearly the same lists, and nothing that TensorRT could not build."""

import numpy as np
import onnx
import pytest

from recbench.errors import InputError
from recbench.index import ExactIndex
from recbench.runtime.export import patched_query_tower
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.parity import parity
from recbench.runtime.precision import as_half, as_int8
from recbench.runtime.profiles import Profile, Range
from recbench.runtime.tensorrt_check import tensorrt_findings
from recbench.runtime.torch import TorchQueryTower

SMALL = Profile({"batch": Range(1, 2, 4), "length": Range(1, 5, 9)})


@pytest.fixture(scope="module")
def requests(tiny_fit, asked):
    rows, age_s, watched, window = tiny_fit.model.inputs(asked)
    return rows, age_s * 100, watched, window  # up to years, beyond what float16 holds


@pytest.fixture(scope="module")
def index(tiny_fit):
    return ExactIndex(tiny_fit.model.candidate_embeddings)


def tower(path, tiny_fit):
    return OnnxQueryTower(path, n_items=len(tiny_fit.model.items))


def types_of(path):
    graph = onnx.load(path).graph
    values = [*graph.input, *graph.output]
    return {value.type.tensor_type.elem_type for value in values}


@pytest.fixture(params=["half", "int8"])
def smaller(request, exported, requests, tmp_path):
    path = tmp_path / "smaller.onnx"
    if request.param == "half":
        as_half(exported, path)
        return path, 2e-3
    as_int8(exported, path, requests)
    return path, 5e-2


def test_lists_are_nearly_those_of_the_whole_tower(smaller, exported, tiny_fit, requests, index):
    path, largest = smaller
    measured = parity(tower(exported, tiny_fit), tower(path, tiny_fit), requests, index, k=20)
    assert 0 < measured.largest_difference < largest
    assert measured.overlap >= 0.99
    assert measured.n_queries == len(requests[0])


def test_inputs_and_outputs_keep_their_types(smaller, exported):
    assert types_of(smaller[0]) == types_of(exported) == {1, 7}  # float32, int64


def test_tensorrt_has_nothing_against_it(smaller):
    assert tensorrt_findings(smaller[0], SMALL) == []


def test_batch_and_length_stay_free(smaller, tiny_fit, requests):
    whole = tower(smaller[0], tiny_fit)(*requests)
    shorter = (part[:3, -2:] if at < 3 else part[:3] for at, part in enumerate(requests))
    assert tower(smaller[0], tiny_fit)(*shorter).shape == (3, whole.shape[1])


def test_a_deepseek_tower_is_halved_too(exported_deepseek, tmp_path, tiny_fit, requests, index):
    model, path = exported_deepseek
    as_half(path, tmp_path / "half.onnx")
    as_int8(path, tmp_path / "int8.onnx", requests)
    reference = TorchQueryTower(model.query_tower)
    for name, largest in (("half.onnx", 2e-3), ("int8.onnx", 0.2)):
        other = tower(tmp_path / name, tiny_fit)
        assert parity(reference, other, requests, index).largest_difference < largest
        assert tensorrt_findings(tmp_path / name, SMALL) == []


def test_a_tower_with_the_weights_of_a_refresh_can_be_made_smaller(
    exported, tiny_fit, requests, index, tmp_path
):
    assert patched_query_tower(exported, tiny_fit.model, tmp_path / "patched.onnx")
    as_half(tmp_path / "patched.onnx", tmp_path / "half.onnx")
    as_int8(tmp_path / "patched.onnx", tmp_path / "int8.onnx", requests)
    reference = tower(exported, tiny_fit)
    for name in ("half.onnx", "int8.onnx"):
        assert parity(reference, tower(tmp_path / name, tiny_fit), requests, index).overlap > 0.99


def test_the_item_table_is_stored_in_half(exported, tmp_path):
    as_half(exported, tmp_path / "half.onnx")
    held = {each.name: each for each in onnx.load(tmp_path / "half.onnx").graph.initializer}
    assert held["encoded_items"].data_type == onnx.TensorProto.FLOAT16


def test_scales_are_not_made_up(exported, tmp_path):
    nothing = (np.zeros((0, 3), np.int64), *(np.zeros((0, 3), np.float32),) * 3)
    with pytest.raises(InputError, match="`histories` holds none"):
        as_int8(exported, tmp_path / "int8.onnx", nothing)
