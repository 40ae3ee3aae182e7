"""A torch module as an ONNX graph whose weights keep their names, and that graph with new weights.

A refresh changes weights and the number of items, never the graph: giving the old graph the new
weights takes a thousandth of an export.
"""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from onnxscript.optimizer import optimize_ir
from torch import Tensor, nn

from recbench.errors import ReleaseError

__all__ = ["OPSET", "export_graph", "patched_graph"]

OPSET = 20
MERGED = 1024  # numbers of a constant, at most, that the optimiser compares with others


def export_graph(
    module: nn.Module,
    example: Sequence[Tensor],
    path: Path,
    *,
    inputs: Sequence[str],
    output: str,
    shapes: Sequence[dict[int, Any]],
) -> None:
    """Write a module as ONNX of opset 20, made for TensorRT's parser.

    Args:
        module: in evaluation mode, on the CPU.
        example: what it takes.
        path: what is written.
        inputs: names of the inputs.
        output: name of the one output.
        shapes: the free dimensions of each input, as ``torch.export.Dim``.

    Raises:
        ReleaseError: torch gave no program.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            module,
            tuple(example),
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple(shapes),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
        if program is None:  # never with `dynamo`
            raise ReleaseError("torch gave no ONNX program")
        with _all_different(program.model.graph, module.state_dict()):
            optimize_ir(program.model, should_fold=_without_weights)
        _without_integer_clips(program.model.graph)
        _with_divisions(program.model.graph)
    program.save(path)


def patched_graph(
    previous: Path, weights: Mapping[str, Tensor], path: Path, *, growing: Collection[str] = ()
) -> bool:
    """Write a graph of ``export_graph`` with other weights; returns whether they fit.

    They fit if the graph has each by its name, as large as before. Otherwise nothing is written.

    Args:
        previous: an ONNX file.
        weights: every one that the graph looks at, by name.
        path: what is written.
        growing: names of weights that may have more rows than before.
    """
    model = onnx.load(previous)
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, weight in weights.items():
        width = None if name not in held else tuple(held[name].dims)
        same = width == tuple(weight.shape)
        if name in growing and width is not None:
            same = width[1:] == tuple(weight.shape)[1:]
        if not same:
            return False
        held[name].CopyFrom(onnx.numpy_helper.from_array(weight.numpy(), name))
    del model.graph.value_info[:]  # says how many items there were
    onnx.save(model, path)
    return True


@contextmanager
def _all_different(graph: ir.Graph, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Meanwhile small weights hold other numbers, so that none is merged with what it equals.

    Before the first step many are all zeros: of these the optimiser would keep one, or none.
    """
    held = {
        name: value
        for name, value in graph.initializers.items()
        if name in weights and 0 < weights[name].numel() <= MERGED
    }
    own = {name: value.const_value for name, value in held.items()}
    for number, (name, value) in enumerate(held.items(), 1):
        stand_in = torch.arange(weights[name].numel()).reshape(weights[name].shape) + 1e4 * number
        value.const_value = ir.tensor(stand_in.to(weights[name].dtype).numpy(), name=name)
    yield
    for name, value in held.items():
        value.const_value = own[name]


def _without_weights(node: Any) -> bool | None:
    """No weight is folded into another constant: a refresh finds each under its name."""
    held = (value for value in node.inputs if value is not None)
    return False if any(value.is_initializer() for value in held) else None


def _without_integer_clips(graph: ir.Graph) -> None:
    """Each Clip of whole numbers as a Max and a Min, the same to the bit: TensorRT clips floats."""
    for node in list(graph):
        given = node.inputs[0] if node.op_type == "Clip" else None
        if given is None or given.dtype != ir.DataType.INT64:
            continue
        bounds = [*node.inputs[1:], None, None][:2]
        for kind, bound in zip(("Max", "Min"), bounds, strict=True):
            if bound is not None:
                bounded = ir.Node("", kind, [given, bound])
                graph.insert_before(node, bounded)
                given = bounded.outputs[0]
                given.type, given.shape = node.outputs[0].type, node.outputs[0].shape
        ir.convenience.replace_all_uses_with(node.outputs[0], given)
        graph.remove(node, safe=True)


def _with_divisions(graph: ir.Graph) -> None:
    """Each product with a reciprocal as a division: what runtimes know a norm by, and fuse."""
    for node in list(graph):
        if node.op_type != "Reciprocal":
            continue
        for product, place in list(node.outputs[0].uses()):
            if product.op_type != "Mul":
                continue
            divided = ir.Node("", "Div", [product.inputs[1 - place], node.inputs[0]])
            graph.insert_before(product, divided)
            result, old = divided.outputs[0], product.outputs[0]
            result.type, result.shape = old.type, old.shape
            ir.convenience.replace_all_uses_with(old, result)
            graph.remove(product, safe=True)
        if not node.outputs[0].uses():
            graph.remove(node, safe=True)
