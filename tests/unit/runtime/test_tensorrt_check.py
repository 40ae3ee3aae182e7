"""Our towers have no findings; a graph that TensorRT could not build has the right ones."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from recbench.errors import InputError, ReleaseError
from recbench.runtime.export import onnx_parity
from recbench.runtime.profiles import Profile, Range
from recbench.runtime.tensorrt_check import require_tensorrt, tensorrt_findings
from recbench.runtime.traced import traced_shapes

SMALL = Profile({"batch": Range(1, 2, 4), "length": Range(1, 5, 9)})
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


@pytest.fixture
def findings(tmp_path):
    def find(*nodes, kind=FLOAT, constants=None, opset=20, domain="", profile=SMALL):
        graph = helper.make_graph(
            [*nodes, helper.make_node("Shape", [nodes[-1].output[0]], ["out"])],
            "one",
            [helper.make_tensor_value_info("x", kind, ["batch", "length"])],
            [helper.make_tensor_value_info("out", INT64, [None])],
            [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
        )
        imports = [helper.make_opsetid("", opset)]
        imports += [helper.make_opsetid(domain, 1)] if domain else []
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), tmp_path / "m")
        return tensorrt_findings(tmp_path / "m", profile)

    return find


def test_the_default_tower_has_no_findings(exported):
    assert tensorrt_findings(exported) == []
    require_tensorrt(exported)


def test_the_deepseek_tower_has_no_findings_and_is_the_same_tower(exported_deepseek, asked):
    model, path = exported_deepseek
    assert tensorrt_findings(path, SMALL) == []
    assert onnx_parity(model, path, asked).largest_difference < 1e-5


def test_an_operator_that_is_not_supported_is_found(findings):
    found = findings(helper.make_node("BitwiseNot", ["x"], ["y"]), kind=INT64)
    assert [(each.what, each.where) for each in found] == [("operator", "BitwiseNot")]
    assert "is not supported (1 nodes)" in found[0].why


def test_an_operator_of_another_domain_needs_a_plugin(findings):
    found = findings(helper.make_node("Fused", ["x"], ["y"], domain="acme"), domain="acme")
    assert [(each.what, each.where) for each in found] == [("plugin", "acme.Fused")]


def test_a_type_that_an_operator_does_not_take_is_found(findings):
    clip = helper.make_node("Clip", ["x", "low"], ["y"], name="bounded")
    found = findings(clip, kind=INT64, constants={"low": np.array(0)})
    assert {(each.what, each.where) for each in found} == {("type", "Clip bounded")}
    assert found[0].why == "x is INT64, supported are ['BF16', 'FP16', 'FP32']"


def test_double_precision_is_found(findings):
    found = findings(helper.make_node("Exp", ["x"], ["y"]), kind=TensorProto.DOUBLE)
    assert any("x is DOUBLE" in each.why for each in found)


def test_a_cast_to_a_type_that_is_not_there_is_found(findings):
    found = findings(helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT16))
    assert "y is INT16" in found[0].why


@pytest.mark.parametrize(
    ("node", "constants", "why"),
    [
        (helper.make_node("TopK", ["x", "k"], ["y", "z"], sorted=0), {"k": np.array([1])}, "K"),
        (helper.make_node("TopK", ["x", "k"], ["y", "z"]), {"k": np.array([4_000])}, "K"),
        (helper.make_node("Dropout", ["x"], ["y"]), {}, "read the table"),
        (
            helper.make_node("QuantizeLinear", ["x", "s", "zero"], ["y"]),
            {"s": np.array(1, np.float32), "zero": np.array(3, np.int8)},
            "zero point must be 0",
        ),
        (
            helper.make_node("ScatterElements", ["x", "at", "v"], ["y"], reduction="add"),
            {"at": np.zeros((1, 1), np.int64), "v": np.ones((1, 1), np.float32)},
            "it is a plugin",
        ),
    ],
    ids=["unsorted", "large", "unjudged", "offset", "reduced"],
)
def test_a_restriction_of_the_table_that_is_not_kept_is_found(findings, node, constants, why):
    profile = Profile({"batch": Range(1, 1, 1), "length": Range(5_000, 5_000, 5_000)})
    found = findings(node, constants=constants, profile=profile)
    assert why in next(each.why for each in found if each.what == "restriction")


def test_axes_that_are_computed_are_found(findings):
    shape = helper.make_node("Shape", ["x"], ["size"])
    zero = helper.make_node("Sub", ["size", "size"], ["zeros"])
    first = helper.make_node("Slice", ["zeros", "from", "to"], ["axis"])
    total = helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)
    constants = {"from": np.array([0]), "to": np.array([1])}
    found = findings(shape, zero, first, total, constants=constants)
    assert [(each.what, each.why) for each in found] == [("restriction", "axes must be constant")]


def test_an_opset_that_the_parser_does_not_read_is_found(findings):
    found = findings(helper.make_node("Exp", ["x"], ["y"]), opset=8)
    assert [(each.what, each.where) for each in found] == [("opset", "8")]


def test_a_free_dimension_without_a_range_is_found(findings):
    found = findings(helper.make_node("Exp", ["x"], ["y"]), profile=Profile({}))
    assert [(each.what, each.where) for each in found] == [("shape", "batch, length")]


def test_tensors_beyond_the_limits_are_found(findings, monkeypatch):
    monkeypatch.setattr("recbench.runtime.tensorrt_check.MOST_ELEMENTS", 30)
    found = findings(helper.make_node("Exp", ["x"], ["y"]))
    assert [(each.where, each.why) for each in found] == [
        ("x", "has 36 elements at most"),
        ("y", "has 36 elements at most"),
    ]


def test_a_release_can_fail_on_findings(exported, monkeypatch):
    monkeypatch.setattr("recbench.runtime.tensorrt_check.MOST_DIMENSIONS", 1)
    with pytest.raises(ReleaseError, match=r"TensorRT 10\.15 could not build .*\n- shape at hist"):
        require_tensorrt(exported)


def test_a_trace_knows_every_tensor(exported):
    shapes = traced_shapes(exported, SMALL, "most")
    assert shapes["history_rows"] == (4, 9)
    assert shapes["query_embeddings"] == (4, 10)


def test_sizes_that_do_not_ascend_are_refused():
    with pytest.raises(InputError, match=r"ascend from 1, got \(0, 1, 2\)"):
        Range(0, 1, 2)
    with pytest.raises(InputError, match=r"No range for \['width'\]; there are \['batch', 'len"):
        SMALL.shape(["batch", "width"], "least")
