"""The service's own OpenAPI 3.1 document."""

from typing import Any

from recbench import __version__
from recbench.serving.inference_protocol import INPUTS, MODEL, OUTPUTS
from recbench.serving.options import Limits

__all__ = ["openapi"]

Schema = dict[str, Any]
OPEN: list[Any] = [{}]  # no token is asked for
INT64: Schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
TEXT: Schema = {"type": "string"}
RELEASE: Schema = TEXT | {"description": "The release that the whole answer comes from."}


def openapi(limits: Limits, *, has_token: bool) -> dict[str, Any]:
    """The document; its bounds are the limits of this service."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "recbench",
            "version": __version__,
            "description": "Lists and scores from one release a request.",
        },
        "paths": _asking() | _telling(),
        "components": {"schemas": _schemas(limits)},
    }
    if has_token:
        bearer = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": bearer}
        document["security"] = [{"token": []}]
    return document


def _asking() -> dict[str, Any]:
    operations = {
        "/recommend": _post("The best items for a user.", "Recommend", "List"),
        "/score": _post("The scores of items for a user.", "Score", "Scores"),
        f"/v2/models/{MODEL}/infer": _post(
            "Open Inference Protocol: tensors in, lists out.", "Infer", "Inferred"
        ),
    }
    return {path: {"post": post} for path, post in operations.items()}


def _telling() -> dict[str, Any]:
    model = f"/v2/models/{MODEL}"
    paths = {
        "/health/live": _get("Whether the process runs.", is_open=True),
        "/health/ready": _get("Whether a release is served.", is_open=True, may_fail=True),
        "/metrics": _get("Prometheus metrics of all workers.", kind="text/plain"),
        "/openapi.json": _get("This document."),
        "/release": _get("The release that this worker serves."),
        "/v2": _get("Open Inference Protocol: the server."),
        "/v2/health/live": _get("As /health/live.", is_open=True),
        "/v2/health/ready": _get("As /health/ready.", is_open=True, may_fail=True),
        model: _get("The model's tensors."),
        f"{model}/ready": _get("As /health/ready.", may_fail=True),
        f"{model}/config": _get("The model's configuration."),
        f"{model}/stats": _get("How many inferences there were."),
    }
    return {path: {"get": get} for path, get in paths.items()}


def _post(summary: str, asked: str, answered: str) -> dict[str, Any]:
    refusals = {
        "400": "The request cannot be used; the message says what and why.",
        "401": "The token is missing or wrong.",
        "408": "The body did not come in time.",
        "413": "The body is too large.",
        "415": "The body is compressed.",
        "503": "No release is served yet, or too many requests wait: try again.",
    }
    return {
        "summary": summary,
        "operationId": asked.lower(),
        "requestBody": {"required": True, "content": _json(asked)},
        "responses": {"200": {"description": "The answer.", "content": _json(answered)}}
        | {
            code: {"description": text, "content": _json("Error")}
            for code, text in refusals.items()
        },
    }


def _get(
    summary: str, *, is_open: bool = False, may_fail: bool = False, kind: str = "application/json"
) -> dict[str, Any]:
    schema: Schema = TEXT if kind == "text/plain" else {"type": "object"}
    said = {"description": summary, "content": {kind: {"schema": schema}}}
    responses: dict[str, Any] = {"200": said}
    if may_fail:
        responses["503"] = said | {"description": "Not ready."}
    if not is_open:
        refused = {"description": "The token is missing or wrong.", "content": _json("Error")}
        responses["401"] = refused
    return {"summary": summary, "responses": responses} | ({"security": OPEN} if is_open else {})


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _schemas(limits: Limits) -> dict[str, Schema]:
    return _requests(limits) | _answers() | _tensors(limits)


def _requests(limits: Limits) -> dict[str, Schema]:
    ids: Schema = {"type": "array", "items": INT64, "maxItems": limits.history}
    instant: Schema = {"anyOf": [TEXT | {"format": "date-time"}, {"type": "null"}]}
    event = _closed(
        {
            "item_id": INT64,
            "ts": instant,
            "watch_ratio": {"type": ["number", "null"], "minimum": 0},
        },
        required=["item_id"],
    )
    history: Schema = {"type": ["array", "null"], "items": event, "maxItems": limits.history}
    filters = _closed(
        {
            "exclude_items": ids,
            "categories": {"type": ["array", "null"], "items": TEXT},
            "repeats": {"enum": ["allow", "mask", None]},
        }
    )
    context: Schema = {"type": "object", "properties": {"ts": instant}}
    who = {
        "user_id": INT64 | {"type": ["integer", "null"]},
        "history": history,
        "context": {"anyOf": [context, {"type": "null"}]},
    }
    k: Schema = {"type": "integer", "minimum": 1, "maximum": limits.k, "default": limits.default_k}
    asked = who | {"k": k, "filters": {"anyOf": [filters, {"type": "null"}]}}
    return {
        "Recommend": _closed(asked),
        "Score": _closed(who | {"item_ids": ids}, required=["item_ids"]),
    }


def _answers() -> dict[str, Schema]:
    shown = _closed(
        {
            "item_id": INT64,
            "score": {"type": "number"},
            "position": {"type": "integer", "minimum": 0},
            "propensity": {
                "type": ["number", "null"],
                "description": "Of the item here, given those above; null: placed by rule.",
            },
        },
        required=["item_id", "score", "position", "propensity"],
    )
    answer = {
        "request_id": TEXT,
        "release": RELEASE,
        "items": {"type": "array", "items": shown},
        "fallback": {"enum": [None, "popularity", "retrieval"]},
        "reason": {"type": ["string", "null"], "description": "What failed, if anything did."},
    }
    scores: Schema = {"type": "array", "items": {"type": ["number", "null"]}}
    scored = {"request_id": TEXT, "release": RELEASE, "scores": scores}
    return {
        "List": _closed(answer, required=list(answer)),
        "Scores": _closed(scored, required=list(scored)),
        "Error": _closed({"error": TEXT}, required=["error"]),
    }


def _tensors(limits: Limits) -> dict[str, Schema]:
    length: Schema = {"type": "integer", "minimum": 0}
    one = {
        "name": {"enum": list(INPUTS)},
        "datatype": {"const": "INT64"},
        "shape": {"type": "array", "items": length, "minItems": 1, "maxItems": 2},
        "data": {"type": "array", "items": INT64},
        "parameters": {"type": "object"},
    }
    k: Schema = {"type": "integer", "minimum": 1, "maximum": limits.k, "default": limits.default_k}
    output: Schema = {"type": "object", "properties": {"name": {"enum": list(OUTPUTS)}}}
    tensor = _closed(one, required=["name", "datatype", "shape"])
    asked = {
        "id": TEXT,
        "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": len(INPUTS)},
        "outputs": {"type": "array", "items": output | {"required": ["name"]}},
        "parameters": {"type": "object", "properties": {"k": k}},
    }
    answer = {
        "id": TEXT,
        "model_name": {"const": MODEL},
        "model_version": RELEASE,
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": {"type": "object"}},
    }
    return {
        "Infer": {"type": "object", "properties": asked, "required": ["inputs"]},
        "Inferred": _closed(answer, required=["model_name", "outputs"]),
    }


def _closed(properties: dict[str, Any], *, required: list[str] | None = None) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})
