"""An exported tower in half precision or in 8 bits; what goes in and comes out stays float32."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from recbench.errors import InputError
from recbench.files import whole_file
from recbench.runtime.export import ITEMS
from recbench.runtime.protocol import TowerInputs, named

__all__ = ["as_half", "as_int8"]

# Nothing but products and the item table: ages are up to 1e9 seconds, and float16 ends at 65,504.
PRODUCTS = ["Gemm", "MatMul"]
CALIBRATED_ON = 64  # histories a batch


def as_half(source: Path, path: Path) -> None:
    """Write a float32 graph with its products and its item table in float16.

    Args:
        source: an ONNX file of ``export_query_tower``.
        path: what is written.
    """
    model = onnx.load(source)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = list(graph.node)
    del graph.node[:], graph.value_info[:]
    for node in nodes:
        halved = [at for at, name in enumerate(node.input) if name == ITEMS]
        if node.op_type in PRODUCTS:
            halved = [at for at, name in enumerate(node.input) if name]
        for at in halved:
            node.input[at] = _half(graph, weights, node.input[at], at_node=node.output[0])
        graph.node.append(node)
        if halved:
            wide, node_output = node.output[0], f"{node.output[0]}/half"
            graph.node[-1].output[0] = node_output
            graph.node.append(_cast(node_output, wide, onnx.TensorProto.FLOAT))
    with whole_file(path) as draft:
        onnx.save(model, draft)


def _half(
    graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto], name: str, *, at_node: str
) -> str:
    """The name of the same values in float16: a weight rewritten, anything else cast."""
    if name not in weights:
        cast = f"{name}/half/{at_node}"
        graph.node.append(_cast(name, cast, onnx.TensorProto.FLOAT16))
        return cast
    tensor = weights[name]
    if tensor.data_type == onnx.TensorProto.FLOAT:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
    return name


def _cast(given: str, result: str, kind: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [given], [result], to=kind)


def as_int8(source: Path, path: Path, histories: TowerInputs) -> None:
    """Write a float32 graph with its products in 8 bits, scaled by what real histories need.

    Weights have a scale a column, activations one each; zero is zero and biases stay float32, as
    TensorRT wants it.

    Args:
        source: an ONNX file of ``export_query_tower``.
        path: what is written.
        histories: inputs of real requests, some hundreds.

    Raises:
        InputError: no histories.
    """
    from onnxruntime import quantization

    if not len(histories[0]):
        raise InputError("Scales are measured on real requests: `histories` holds none")
    model = onnx.load(source)
    # its own preparation folds constants and leaves this mark; ours are folded already
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with whole_file(path) as draft:
        quantization.quantize_static(
            model,
            draft,
            _histories(source, histories),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=PRODUCTS,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
            },
        )


def _histories(source: Path, histories: TowerInputs) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    taken = {value.name for value in onnx.load(source, load_external_data=False).graph.input}

    class Batches(CalibrationDataReader):  # type: ignore[misc]  # an untyped package's
        def __init__(self) -> None:
            self._batches = _batches(histories, taken)

        def get_next(self) -> dict[str, npt.NDArray[np.generic]] | None:
            return next(self._batches, None)

    return Batches()


def _batches(
    histories: TowerInputs, taken: set[str]
) -> Iterator[dict[str, npt.NDArray[np.generic]]]:
    by_name = {name: part for name, part in named(histories).items() if name in taken}
    for start in range(0, len(histories[0]), CALIBRATED_ON):
        batch = slice(start, start + CALIBRATED_ON)
        yield {name: array[batch] for name, array in by_name.items()}
