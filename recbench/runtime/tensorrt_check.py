"""What would keep TensorRT from building an exported graph, found without TensorRT.

Each operator with its types and attributes is held against the table that TensorRT's ONNX parser
publishes; each tensor's size against TensorRT's limits, at both ends of the shapes asked for. The
table is what the parser's authors say of it: a graph without findings has not run on TensorRT.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto

from recbench.errors import ReleaseError
from recbench.runtime.profiles import QUERY_TOWER_PROFILE, Profile
from recbench.runtime.tensorrt_rules import broken_restrictions, constants_of
from recbench.runtime.traced import traced_shapes

__all__ = ["Finding", "checked_version", "require_tensorrt", "tensorrt_findings"]

TABLE = Path(__file__).with_name("tensorrt_operators.json")
MOST_ELEMENTS = 2**31 - 1  # of one tensor
MOST_DIMENSIONS = 8
BUILTIN = {"", "ai.onnx"}
NAMES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
    TensorProto.FLOAT8E4M3FN: "FP8",
    TensorProto.INT4: "INT4",
}
CASTS = {"Cast", "CastLike"}  # what comes out is held against the table, too
INDICES = {"Tind", "T2"}  # type parameters of positions, which the table does not speak of


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the stated TensorRT could not build, and where."""

    what: str  # "opset", "operator", "plugin", "type", "restriction" or "shape"
    where: str  # a node or tensor
    why: str


def tensorrt_findings(path: Path, profile: Profile = QUERY_TOWER_PROFILE) -> list[Finding]:
    """What TensorRT 10.15 could not build of an ONNX file; empty where nothing stands against it.

    Args:
        path: the file.
        profile: sizes of its free dimensions.
    """
    model = onnx.load(path)
    found = [*_opset(model), *_operators(model)]
    if not any(finding.what in {"operator", "plugin"} for finding in found):
        found += [*_types(model), *_restrictions(model), *_shapes(model, path, profile)]
    return found


def require_tensorrt(path: Path, profile: Profile = QUERY_TOWER_PROFILE) -> None:
    """Nothing, if there are no findings.

    Raises:
        ReleaseError: there are; the message lists them.
    """
    found = tensorrt_findings(path, profile)
    if found:
        listed = "\n".join(f"- {each.what} at {each.where}: {each.why}" for each in found)
        raise ReleaseError(
            f"TensorRT {checked_version()} could not build {path}, by its own table:\n{listed}"
        )


def checked_version() -> str:
    """The TensorRT whose table graphs are held against."""
    return str(_table()["tensorrt"])


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    table["of"] = {op: set(types.split()) for types, ops in table["types"].items() for op in ops}
    return table


def _opset(model: onnx.ModelProto) -> Iterator[Finding]:
    first, last = _table()["opsets"]
    for used in model.opset_import:
        if used.domain in BUILTIN and not first <= used.version <= last:
            yield Finding("opset", str(used.version), f"only {first} to {last} are read")


def _operators(model: onnx.ModelProto) -> Iterator[Finding]:
    own = {(function.domain, function.name) for function in model.functions}
    used = Counter((node.domain, node.op_type) for node in _nodes(model))
    for (domain, op), count in sorted(used.items()):
        if (domain, op) in own:
            continue
        if domain not in BUILTIN:
            yield Finding("plugin", f"{domain}.{op}", f"{count} nodes of another domain")
        elif op not in _table()["of"]:
            told = "is not supported" if op in _table()["unsupported"] else "is not in the table"
            yield Finding("operator", op, f"{told} ({count} nodes)")


def _types(model: onnx.ModelProto) -> Iterator[Finding]:
    held = _type_of_each(model)
    opset = next(used.version for used in model.opset_import if used.domain in BUILTIN)
    for node in _nodes(model):
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        inputs = [
            name
            for at, name in enumerate(node.input)
            if name and _is_data(schema.inputs[min(at, len(schema.inputs) - 1)].type_str)
        ]
        allowed = _table()["of"][node.op_type]
        for name in [*inputs, *(node.output if node.op_type in CASTS else ())]:
            kind = held.get(name)
            if kind not in allowed:
                yield Finding(
                    "type",
                    f"{node.op_type} {node.name or node.output[0]}",
                    f"{name} is {kind or 'of unknown type'}, supported are {sorted(allowed)}",
                )


def _is_data(type_parameter: str) -> bool:
    return "(" not in type_parameter and type_parameter not in INDICES


def _type_of_each(model: onnx.ModelProto) -> dict[str, str]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    held = {tensor.name: tensor.data_type for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        held[value.name] = value.type.tensor_type.elem_type
    return {name: NAMES.get(kind, TensorProto.DataType.Name(kind)) for name, kind in held.items()}


def _restrictions(model: onnx.ModelProto) -> Iterator[Finding]:
    constants = constants_of(model)
    for node in _nodes(model):
        for why in broken_restrictions(node, constants, _table()["restricted"]):
            yield Finding("restriction", f"{node.op_type} {node.name or node.output[0]}", why)


def _shapes(model: onnx.ModelProto, path: Path, profile: Profile) -> Iterator[Finding]:
    free = {
        dim.dim_param
        for value in model.graph.input
        for dim in value.type.tensor_type.shape.dim
        if not dim.HasField("dim_value")
    }
    unknown = sorted(free - set(profile.ranges))
    if unknown:
        yield Finding("shape", ", ".join(unknown), f"has no range in {sorted(profile.ranges)}")
        return
    for corner in ("least", "most"):
        for name, shape in traced_shapes(path, profile, corner).items():
            if len(shape) > MOST_DIMENSIONS:
                yield Finding("shape", name, f"has {len(shape)} dimensions at {corner}")
            if math.prod(shape) > MOST_ELEMENTS:
                yield Finding("shape", name, f"has {math.prod(shape):,} elements at {corner}")


def _nodes(model: onnx.ModelProto) -> Iterable[NodeProto]:
    """Those of the graph, of the bodies of its loops and branches, and of its own functions."""
    pending = [*model.graph.node, *(node for own in model.functions for node in own.node)]
    while pending:
        node = pending.pop()
        yield node
        for attribute in node.attribute:
            pending += [*attribute.g.node, *(node for g in attribute.graphs for node in g.node)]
