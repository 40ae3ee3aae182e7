"""A model repository for NVIDIA's Triton Inference Server.

A version is one graph from history to list (`runtime.fused`), not an ensemble of tower and index:
Triton loads the models of an ensemble one by one, and a request in between would take the tower of
one release and the candidates of another. No Python runs in the server.
"""

import shutil
from pathlib import Path
from typing import Literal

import onnx

from recbench.errors import InputError
from recbench.files import sync_directory, whole_file

__all__ = ["Platform", "add_triton_version"]

Platform = Literal["onnxruntime_onnx", "tensorrt_plan"]
FILES = {"onnxruntime_onnx": "model.onnx", "tensorrt_plan": "model.plan"}
KINDS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.FLOAT16: "TYPE_FP16",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.INT64: "TYPE_INT64",
}
KEPT = 2  # versions that the server holds: while a new one loads, the old one answers


def add_triton_version(
    repository: Path,
    name: str,
    graph: Path,
    *,
    version: int,
    platform: Platform = "onnxruntime_onnx",
    engine: Path | None = None,
    device: Literal["cpu", "gpu"] = "gpu",
    largest_batch: int = 64,
    queue_delay_us: int = 500,
) -> Path:
    """Add a version of a model; a server that polls the repository takes it when it is whole.

    Returns the version's folder.

    Args:
        repository: made where it is not there.
        name: of the model.
        graph: ONNX, whose first dimensions are the batch.
        version: a number, larger than those before.
        platform: who runs it.
        engine: of the same graph, by ``build_engine``; for ``tensorrt_plan`` only.
        device: where it runs.
        largest_batch: requests that the server joins.
        queue_delay_us: how long it waits for others to join, microseconds.

    Raises:
        InputError: the version is there already, or the engine is missing, or not asked for.
    """
    if platform not in FILES:
        raise InputError(f"`platform` must be one of {list(FILES)}, got {platform!r}")
    if (engine is not None) != (platform == "tensorrt_plan"):
        raise InputError(f"`engine` is for 'tensorrt_plan' and only that, got {platform!r}")
    if version < 1 or (repository / name / str(version)).exists():
        raise InputError(f"`version` must be new and from 1, got {version} of {name!r}")
    if largest_batch < 1:
        raise InputError(f"`largest_batch` must be at least 1, got {largest_batch}")
    config = _config(name, graph, platform, device, largest_batch, queue_delay_us)
    described = repository / name / "config.pbtxt"
    if described.exists() and described.read_text(encoding="utf-8") != config:
        raise InputError(
            f"{described} describes versions of other shapes or options, and is of all of them: "
            "add this one under another name"
        )
    with whole_file(described) as draft:
        draft.write_text(config, encoding="utf-8")
    # a name that is no number is no version to Triton
    building = repository / name / f".building-{version}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    shutil.copyfile(engine or graph, building / FILES[platform])
    ready = building.rename(repository / name / str(version))
    sync_directory(repository / name)
    return ready


def _config(
    name: str,
    graph: Path,
    platform: Platform,
    device: str,
    largest_batch: int,
    queue_delay_us: int,
) -> str:
    """``ModelConfig`` in protobuf's text format; the batch dimension is left out of each tensor."""
    held = onnx.load(graph, load_external_data=False).graph
    tensors = [
        f"{way} [\n" + ",\n".join(_tensor(value) for value in values) + "\n]"
        for way, values in (("input", held.input), ("output", held.output))
    ]
    one_thread = [
        f'parameters {{ key: "{key}" value {{ string_value: "1" }} }}'
        for key in ("intra_op_thread_count", "inter_op_thread_count")
        if platform == "onnxruntime_onnx"
    ]
    lines = [
        f'name: "{name}"',
        f'platform: "{platform}"',
        f"max_batch_size: {largest_batch}",
        *tensors,
        f"instance_group [ {{ count: 1, kind: KIND_{device.upper()} }} ]",
        f"dynamic_batching {{ max_queue_delay_microseconds: {queue_delay_us} }}",
        f"version_policy: {{ latest {{ num_versions: {KEPT} }} }}",
        *one_thread,
    ]
    return "\n".join(lines) + "\n"


def _tensor(value: onnx.ValueInfoProto) -> str:
    held = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in held.shape.dim][1:]
    return f'  {{ name: "{value.name}", data_type: {KINDS[held.elem_type]}, dims: {dims} }}'
