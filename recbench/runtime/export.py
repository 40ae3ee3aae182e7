"""Towers as files: safetensors of the weights, ONNX of the query tower, checked against torch."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnxscript.optimizer import optimize_ir
from safetensors.torch import save_file

from recbench.errors import ReleaseError
from recbench.index.exact import ExactIndex
from recbench.models.frozen import TwoTowerRecommender
from recbench.models.two_tower import TwoTower
from recbench.runtime.onnx import OnnxQueryTower
from recbench.runtime.parity import Parity, parity
from recbench.runtime.protocol import INPUTS
from recbench.runtime.torch import TorchQueryTower
from recbench.tables.queries import Queries

__all__ = [
    "LARGEST_DIFFERENCE",
    "export_query_tower",
    "onnx_parity",
    "patched_query_tower",
    "save_towers",
]

LARGEST_DIFFERENCE = 1e-4  # of one embedding value; values reach about 20
OPSET = 20
ITEMS = "encoded_items"


def export_query_tower(model: TwoTowerRecommender, path: Path) -> None:
    """Write the query tower as ONNX, batch and history length dynamic."""
    length = model.history_length
    n_window = _n_window_features(model)
    example = (
        torch.full((2, length), -1, dtype=torch.int64),
        torch.zeros((2, length)),
        torch.zeros((2, length)),
        torch.zeros((2, n_window)),
    )
    example[0][:, -1] = 0
    batch, long = torch.export.Dim("batch"), torch.export.Dim("length")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            model.query_tower,
            example,
            input_names=INPUTS,
            output_names=["query_embeddings"],
            dynamic_shapes=(*[{0: batch, 1: long}] * 3, {0: batch}),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
        if program is None:  # never with `dynamo`
            raise ReleaseError("torch gave no ONNX program")
        optimize_ir(program.model, should_fold=_without_weights)
        _without_integer_clips(program.model.graph)
        _with_divisions(program.model.graph)
    program.save(path)


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


def patched_query_tower(previous: Path, model: TwoTowerRecommender, path: Path) -> bool:
    """Write the query tower as ``previous`` with the weights of ``model``: what a refresh needs.

    A thousandth of the work of an export. Returns whether the file could serve: it has every
    weight of the model by name, and all but the number of items as large as before. Otherwise
    nothing is written.

    Args:
        previous: an ONNX file of ``export_query_tower``, of the same architecture.
        model: as of now.
        path: what is written.
    """
    graph = onnx.load(previous)
    weights = model.query_tower.state_dict()
    held = {tensor.name: tensor for tensor in graph.graph.initializer}
    for name, weight in weights.items():
        width = None if name not in held else tuple(held[name].dims)
        same = width == tuple(weight.shape)
        if name == ITEMS and width is not None:
            same = width[1:] == tuple(weight.shape)[1:]
        if not same:
            return False
        held[name].CopyFrom(onnx.numpy_helper.from_array(weight.numpy(), name))
    del graph.graph.value_info[:]  # says how many items there were
    onnx.save(graph, path)
    return True


def onnx_parity(model: TwoTowerRecommender, path: Path, queries: Queries) -> Parity:
    """ONNX Runtime against torch over real requests: by value, and by the lists they lead to.

    Raises:
        ReleaseError: a value differs by more than ``LARGEST_DIFFERENCE``.
    """
    measured = parity(
        TorchQueryTower(model.query_tower),
        OnnxQueryTower(path, n_items=len(model.items)),
        model.inputs(queries),  # type: ignore[arg-type]  # generic arrays
        ExactIndex(model.candidate_embeddings, model.hidden),
    )
    if measured.largest_difference > LARGEST_DIFFERENCE:
        raise ReleaseError(
            f"The exported query tower differs from torch by {measured.largest_difference:.2e}, "
            f"more than {LARGEST_DIFFERENCE:.0e}: nothing was released"
        )
    return measured


def save_towers(towers: TwoTower, folder: Path) -> None:
    """``query_tower.safetensors`` and ``candidate_tower.safetensors``; the latter has the items."""
    state = {name: tensor.contiguous() for name, tensor in towers.state_dict().items()}
    query = {name: tensor for name, tensor in state.items() if name.startswith("queries.")}
    save_file(query, folder / "query_tower.safetensors")
    candidate = {name: tensor for name, tensor in state.items() if name not in query}
    save_file(candidate, folder / "candidate_tower.safetensors")


def _n_window_features(model: TwoTowerRecommender) -> int:
    nobody = np.empty(0, dtype=np.int64)
    return int(model.window_features(nobody, nobody).shape[1])
