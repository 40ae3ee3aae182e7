"""The shape of every tensor of a graph, as a run gives it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from recbench.runtime.profiles import Profile

__all__ = ["traced_shapes"]

SUFFIX = ":traced"


def traced_shapes(path: Path, profile: Profile, corner: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor but weights, from a run on zeros in ONNX Runtime.

    Inference of shapes alone loses track where one size is computed from another.

    Args:
        path: an ONNX file.
        profile: sizes of its free dimensions.
        corner: ``least``, ``usual`` or ``most`` of them.
    """
    import onnxruntime

    model = onnx.load(path)
    del model.graph.value_info[:], model.graph.output[:]  # shapes of the exporter's example
    names = [name for node in model.graph.node for name in node.output if name]
    for name in names:
        model.graph.node.append(onnx.helper.make_node("Shape", [name], [f"{name}{SUFFIX}"]))
        asked = onnx.helper.make_tensor_value_info(
            f"{name}{SUFFIX}", onnx.TensorProto.INT64, [None]
        )
        model.graph.output.append(asked)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {value.name: _zeros(value, profile, corner) for value in model.graph.input}
    found = zip(names, session.run(None, given), strict=True)
    inputs = {name: tuple(array.shape) for name, array in given.items()}
    return inputs | {name: tuple(map(int, shape)) for name, shape in found}


def _zeros(value: onnx.ValueInfoProto, profile: Profile, corner: str) -> np.ndarray[Any, Any]:
    held = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in held.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(held.elem_type)
    return np.zeros(profile.shape(dims, corner), dtype=dtype)
