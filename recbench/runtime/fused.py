"""One graph from a history to a list: query tower, every candidate, the best k."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from recbench.errors import InputError
from recbench.files import whole_file

__all__ = ["LISTED", "export_fused"]

EMBEDDED = "query_embeddings"
LISTED = ["item_ids", "scores"]
LARGEST_K = 3_839  # TensorRT sorts no more


def export_fused(
    tower: Path,
    path: Path,
    *,
    item_ids: npt.NDArray[np.int64],
    candidate_embeddings: npt.NDArray[np.float32],
    hidden: npt.NDArray[np.int64],
    k: int,
    repeats: bool,
) -> None:
    """Write a graph that answers a history with ``item_ids`` and ``scores``, both (B, k).

    Exact, by one product with all candidates: what a GPU does best. A list that runs out ends in
    id -1 with score -inf.

    Args:
        tower: an ONNX file of ``export_query_tower``, of any precision.
        path: what is written.
        item_ids: (C,) by item row.
        candidate_embeddings: (C, D).
        hidden: rows never to be shown.
        k: list length.
        repeats: whether lists may hold items of the history that was given.

    Raises:
        InputError: a ``k`` that is not from 1 to the number of candidates, or beyond TensorRT's.
    """
    if not 1 <= k <= min(len(item_ids), LARGEST_K):
        raise InputError(f"`k` must be from 1 to {min(len(item_ids), LARGEST_K)}, got {k}")
    model = onnx.load(tower)
    graph = model.graph
    del graph.value_info[:], graph.output[:]
    # one row more than there are candidates: what padded rows, -1, point at
    columns = np.concatenate([candidate_embeddings, np.zeros_like(candidate_embeddings[:1])])
    bias = np.zeros(len(columns), dtype=np.float32)
    bias[hidden] = bias[-1] = -np.inf
    constants = {
        "search/candidates": np.ascontiguousarray(columns.T),
        "search/bias": bias,
        "search/ids": np.append(item_ids, -1),
        "search/k": np.array([k]),
        "search/none": np.array(-1),
        "search/never": np.array(-np.inf, dtype=np.float32),
        "search/padded": np.array(len(item_ids)),
        "search/zero": np.array(0),
    }
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    graph.node.extend(_search(repeats=repeats))
    for name, kind in zip(LISTED, (TensorProto.INT64, TensorProto.FLOAT), strict=True):
        graph.output.append(helper.make_tensor_value_info(name, kind, ["batch", k]))
    onnx.checker.check_model(model)
    with whole_file(path) as draft:
        onnx.save(model, draft)


def _search(*, repeats: bool) -> list[onnx.NodeProto]:
    node = helper.make_node
    nodes = [
        node("MatMul", [EMBEDDED, "search/candidates"], ["search/products"]),
        node("Add", ["search/products", "search/bias"], ["search/all"]),
    ]
    scored = "search/all"
    if not repeats:
        scored = "search/unseen"
        nodes += [
            node("Less", ["history_rows", "search/zero"], ["search/is_padded"]),
            node("Where", ["search/is_padded", "search/padded", "history_rows"], ["search/seen"]),
            node("Shape", ["history_rows"], ["search/shape"]),
            node("Expand", ["search/never", "search/shape"], ["search/barred"]),
            node(
                "ScatterElements", ["search/all", "search/seen", "search/barred"], [scored], axis=1
            ),
        ]
    return [
        *nodes,
        node("TopK", [scored, "search/k"], ["scores", "search/rows"], axis=1),
        node("Gather", ["search/ids", "search/rows"], ["search/listed"]),
        node("Equal", ["scores", "search/never"], ["search/ran_out"]),
        node("Where", ["search/ran_out", "search/none", "search/listed"], ["item_ids"]),
    ]
