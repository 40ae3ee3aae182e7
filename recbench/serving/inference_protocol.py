"""The Open Inference Protocol, version 2: tensors in JSON or bytes, requests in, lists out.

Inputs: ``user_id`` INT64 [B]; and ``history`` INT64 [B, L], item ids, the latest last, beside which
``history_ts`` INT64 [B, L] may say when, in microseconds since the epoch (0: not known). Either may
be left out. Item ids that the release does not know are passed over, so rows are padded with any.
Outputs: ``item_id`` INT64 [B, K], -1 where a list ends, and ``score`` FP32 [B, K].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from recbench.errors import InputError
from recbench.serving.answer import Answer
from recbench.serving.options import Limits
from recbench.serving.requests import LATEST, AskedList, GivenHistory

__all__ = ["MODEL", "infer_response", "model_config", "model_metadata", "parse_infer"]

MODEL = "recommend"
HEADER_LENGTH = b"inference-header-content-length"
MOST_ROWS = 32
LONGEST = 1 << 24  # of a dimension
INT64, FP32 = "INT64", "FP32"
DTYPES: dict[str, np.dtype[Any]] = {INT64: np.dtype("<i8"), FP32: np.dtype("<f4")}
INPUTS: dict[str, list[int]] = {"user_id": [-1], "history": [-1, -1], "history_ts": [-1, -1]}
OUTPUTS = {"item_id": INT64, "score": FP32}

Tensor = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class AskedInference:
    """B requests for lists, and how they want to be answered."""

    rows: list[AskedList]
    id: str | None
    outputs: list[str]
    binary: dict[str, bool]  # by output


def model_config(limits: Limits) -> dict[str, Any]:
    """The model's configuration, as Triton tells it; the first dimension is the batch."""
    inputs = [
        {"name": name, "data_type": f"TYPE_{INT64}", "dims": shape}
        for name, shape in INPUTS.items()
    ]
    outputs = [
        {"name": name, "data_type": f"TYPE_{dtype}", "dims": [-1, -1]}
        for name, dtype in OUTPUTS.items()
    ]
    return {
        "name": MODEL,
        "platform": "recbench",
        "backend": "recbench",
        "max_batch_size": 0,
        "input": inputs,
        "output": outputs,
        "parameters": {"max_k": {"string_value": str(limits.k)}},
    }


def model_metadata(release: str | None) -> dict[str, Any]:
    """The model's name, its one version, which is the release, and its tensors."""
    inputs = [{"name": name, "datatype": INT64, "shape": shape} for name, shape in INPUTS.items()]
    outputs = [
        {"name": name, "datatype": dtype, "shape": [-1, -1]} for name, dtype in OUTPUTS.items()
    ]
    versions = [] if release is None else [release]
    about = {"name": MODEL, "versions": versions, "platform": "recbench"}
    return about | {"inputs": inputs, "outputs": outputs}


def parse_infer(
    body: bytes, headers: Sequence[tuple[bytes, bytes]], limits: Limits
) -> AskedInference:
    """The body of ``POST /v2/models/recommend/infer``.

    Raises:
        InputError: it is not of the documented form, or beyond a limit.
    """
    length = _header_length(headers, len(body))
    try:
        asked = orjson.loads(body[:length])
    except orjson.JSONDecodeError as error:
        raise InputError(f"The body is not JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list):
        raise InputError("The body must be an object with a list of `inputs`")
    tensors = _tensors(asked["inputs"], body[length:])
    parameters = _object(asked.get("parameters"), "parameters")
    names, binary = _wanted(asked, parameters)
    request_id = asked.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"`id` must be a string, got {request_id!r}")
    return AskedInference(_rows(tensors, _k(parameters, limits), limits), request_id, names, binary)


def infer_response(
    asked: AskedInference, answers: Sequence[Answer], *, release: str
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON part if bytes follow it."""
    width = max((len(answer.item_ids) for answer in answers), default=0)
    ids = np.full((len(answers), width), -1, dtype=DTYPES[INT64])
    scores = np.zeros((len(answers), width), dtype=DTYPES[FP32])
    for row, answer in enumerate(answers):
        ids[row, : len(answer.item_ids)] = answer.item_ids
        scores[row, : len(answer.item_ids)] = answer.scores
    held: dict[str, Tensor] = {"item_id": ids, "score": scores}
    outputs, buffers = [], []
    for name in asked.outputs:
        one: dict[str, Any] = {"name": name, "datatype": OUTPUTS[name]}
        one["shape"] = list(held[name].shape)
        if asked.binary[name]:
            buffers.append(held[name].tobytes())
            one["parameters"] = {"binary_data_size": len(buffers[-1])}
        else:
            one["data"] = held[name].ravel()
        outputs.append(one)
    fallbacks = [answer.reason for answer in answers if answer.fallback is not None]
    payload: dict[str, Any] = {"model_name": MODEL, "model_version": release, "outputs": outputs}
    payload["parameters"] = {"release": release, "fallback": fallbacks[0] if fallbacks else ""}
    if asked.id is not None:
        payload["id"] = asked.id
    header = orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([header, *buffers]), len(header) if buffers else None


def _header_length(headers: Sequence[tuple[bytes, bytes]], size: int) -> int:
    for name, value in headers:
        if name == HEADER_LENGTH:
            if not value.isdigit() or int(value) > size:
                raise InputError(
                    f"Inference-Header-Content-Length must be at most {size}, the length of the "
                    f"body, got {value.decode('latin-1')!r}"
                )
            return int(value)
    return size


def _tensors(inputs: list[Any], buffer: bytes) -> dict[str, Tensor]:
    tensors, at = {}, 0
    for number, one in enumerate(inputs):
        one = _object(one, f"inputs[{number}]")
        name, shape = one.get("name"), one.get("shape")
        if not isinstance(name, str) or name not in INPUTS or one.get("datatype") != INT64:
            raise InputError(
                f"inputs[{number}] must be one of {list(INPUTS)} of {INT64}, got {name!r} of "
                f"{one.get('datatype')!r}"
            )
        if (
            not isinstance(shape, list)
            or len(shape) != len(INPUTS[name])
            or not all(type(length) is int and 0 <= length <= LONGEST for length in shape)
        ):
            raise InputError(f"`shape` of {name} must be like {INPUTS[name]}, got {shape!r}")
        size = _object(one.get("parameters"), "parameters").get("binary_data_size")
        if size is None:
            values = _from_json(name, one.get("data"))
        else:
            values, at = _from_bytes(name, size, buffer, at)
        n_expected = int(np.prod(shape, dtype=object)) if shape else 0
        if len(values) != n_expected:
            raise InputError(f"{name} of {shape} needs {n_expected} values, got {len(values)}")
        tensors[name] = values.reshape(shape)
    if at != len(buffer):
        raise InputError(f"{len(buffer) - at} bytes after the inputs belong to none of them")
    return tensors


def _from_json(name: str, data: Any) -> Tensor:
    """Values in row order, nested by row or not."""
    if isinstance(data, list) and any(isinstance(row, list) for row in data):
        data = [value for row in data for value in (row if isinstance(row, list) else [row])]
    if not isinstance(data, list) or not all(type(value) is int for value in data):
        raise InputError(f"`data` of {name} must be a list of integers")
    try:
        return np.array(data, dtype=DTYPES[INT64])
    except OverflowError as error:
        raise InputError(f"`data` of {name} must fit into {INT64}") from error


def _from_bytes(name: str, size: Any, buffer: bytes, at: int) -> tuple[Tensor, int]:
    if type(size) is not int or size < 0 or size % 8 or at + size > len(buffer):
        raise InputError(
            f"`binary_data_size` of {name} must be a multiple of 8 within the {len(buffer) - at} "
            f"bytes that are left, got {size!r}"
        )
    return np.frombuffer(buffer, DTYPES[INT64], size // 8, at), at + size


def _wanted(
    asked: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[list[str], dict[str, bool]]:
    """The outputs that are asked for, all by default, and which of them as bytes."""
    default = parameters.get("binary_data_output", False) is True
    outputs = asked.get("outputs")
    if outputs is None:
        return list(OUTPUTS), dict.fromkeys(OUTPUTS, default)
    if not isinstance(outputs, list):
        raise InputError(f"`outputs` must be a list, got {outputs!r}")
    binary = {}
    for number, one in enumerate(outputs):
        one = _object(one, f"outputs[{number}]")
        name = one.get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            raise InputError(f"outputs[{number}] must be one of {list(OUTPUTS)}, got {name!r}")
        binary[name] = (
            _object(one.get("parameters"), "parameters").get("binary_data", default) is True
        )
    return list(binary), binary


def _rows(tensors: Mapping[str, Tensor], k: int, limits: Limits) -> list[AskedList]:
    counts = {len(tensor) for tensor in tensors.values()}
    if len(counts) != 1 or (n_rows := counts.pop()) > MOST_ROWS or not n_rows:
        raise InputError(
            f"The inputs must have 1 to {MOST_ROWS} rows, each the same number, got "
            f"{ {name: list(tensor.shape) for name, tensor in tensors.items()} }"
        )
    users, items, times = (tensors.get(name) for name in INPUTS)
    if times is not None and (items is None or items.shape != times.shape):
        raise InputError("`history_ts` must have the shape of `history`")
    if items is not None and items.shape[1] > limits.history:
        raise InputError(f"`history` may have {limits.history} items, got {items.shape[1]}")
    return [
        AskedList(
            user_id=None if users is None else users.item(row),
            history=None if items is None else _history(items, times, row),
            k=k,
        )
        for row in range(n_rows)
    ]


def _history(items: Tensor, times: Tensor | None, row: int) -> GivenHistory:
    ts = np.zeros_like(items[row]) if times is None else times[row]
    ts = np.where(ts == 0, LATEST, ts)
    order = np.argsort(ts, kind="stable")
    unknown = np.full(len(ts), -1.0, dtype=np.float32)
    return GivenHistory(items[row][order], ts[order], unknown)


def _k(parameters: Mapping[str, Any], limits: Limits) -> int:
    k = parameters.get("k", limits.default_k)
    if type(k) is not int or not 1 <= k <= limits.k:
        raise InputError(f"`k` must be an integer from 1 to {limits.k}, got {k!r}")
    return k


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"`{what}` must be an object, got {value!r}")
    return value
