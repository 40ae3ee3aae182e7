"""What TensorRT's table of operators says besides types, as code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto

__all__ = ["broken_restrictions", "constants_of"]

Constants = Mapping[str, npt.NDArray[Any]]
MOST_SORTED = 3_840


def constants_of(model: onnx.ModelProto) -> dict[str, npt.NDArray[Any]]:
    """Every tensor that is known when an engine is built: weights and constants, by name."""
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = _attributes(node).get("value")
            held[node.output[0]] = np.empty(0) if value is None else value
    return held


def broken_restrictions(
    node: NodeProto, constants: Constants, restricted: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """What of the table's restrictions the node does not keep, in words.

    Args:
        node: of the graph.
        constants: of ``constants_of``.
        restricted: restriction -> operators.
    """
    for restriction, operators in restricted.items():
        if node.op_type in operators:
            keeps = RULES.get(restriction)
            if keeps is None or not keeps(node, constants):
                yield restriction
    if node.op_type == "ScatterElements" and _attributes(node).get("reduction", b"none") != b"none":
        yield "with a reduction it is a plugin"


def _constant_input(at: int) -> Callable[[NodeProto, Constants], bool]:
    """An input that is missing or known."""
    return lambda node, constants: (
        len(node.input) <= at or not node.input[at] or node.input[at] in constants
    )


def _zero_point(node: NodeProto, constants: Constants) -> bool:
    if len(node.input) < 3 or not node.input[2]:
        return True
    return node.input[2] in constants and not np.any(constants[node.input[2]])


def _top_k(node: NodeProto, constants: Constants) -> bool:
    k = constants.get(node.input[1])
    return _attributes(node).get("sorted", 1) == 1 and k is not None and int(k.item()) < MOST_SORTED


def _first_output(node: NodeProto, constants: Constants) -> bool:
    return not any(node.output[1:])


def _one_direction(node: NodeProto, constants: Constants) -> bool:
    held = _attributes(node)
    return (
        held.get("direction", b"forward") != b"bidirectional"
        and not held.get("layout", 0)
        and not held.get("input_forget", 0)
    )


def _no_reduction(node: NodeProto, constants: Constants) -> bool:
    return bool(_attributes(node).get("reduction", b"none") == b"none")


def _attributes(node: NodeProto) -> dict[str, Any]:
    held = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    return {
        name: onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        for name, value in held.items()
    }


RULES: dict[str, Callable[[NodeProto, Constants], bool]] = {
    "axes must be constant": _constant_input(1),
    "axis must be constant": _constant_input(1),
    "depth must be constant": _constant_input(1),
    "zero point must be 0": _zero_point,
    "sorted, K below 3840": _top_k,
    "no reduction": _no_reduction,
    "first output only": _first_output,
    "one direction": _one_direction,
}  # what stands in the table and not here is for a person to judge: it counts as broken
