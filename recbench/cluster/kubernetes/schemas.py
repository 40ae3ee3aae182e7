"""What the operator's and Kubernetes' own schemas have against a manifest; needs no cluster."""

import importlib.util
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from recbench.cluster.kubernetes.pods import Manifest
from recbench.errors import InputError

__all__ = ["KUBERNETES_VERSION", "problems"]

KUBERNETES_VERSION = "1.37"  # whose schemas are asked
OPERATOR_GROUP = "kubernetes.dask.org/"
OPERATOR_SCHEMAS = "operator/deployment/helm/dask-kubernetes-operator/crds"


def problems(manifest: Manifest, *, version: str = KUBERNETES_VERSION) -> list[str]:
    """What is wrong with ``manifest``, a line each: where, and what; none: it is valid.

    A field that the schema does not know counts, though Kubernetes would only drop it.

    Args:
        manifest: one object.
        version: of Kubernetes, such as ``"1.37"``.

    Raises:
        InputError: a package that holds schemas is not installed.
    """
    kind, api = str(manifest.get("kind", "")), str(manifest.get("apiVersion", ""))
    if api.startswith(OPERATOR_GROUP):
        found = _problems_by_operator(manifest)
    else:
        found = _problems_by_kubernetes(manifest, version)
    name = manifest.get("metadata", {}).get("name", "")
    return [f"{kind or 'No kind'} {name or 'without a name'}: {line}" for line in found]


def _problems_by_kubernetes(manifest: Manifest, version: str) -> list[str]:
    _installed("kubernetes_validate")
    import kubernetes_validate

    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [_line(error)]
    except (kubernetes_validate.SchemaNotFoundError, KeyError):
        return [f"it is no object that Kubernetes {version} knows"]
    return []


def _problems_by_operator(manifest: Manifest) -> list[str]:
    schema = _operator_schemas().get(str(manifest.get("kind")))
    if schema is None:
        return ["it is no object that Dask's operator knows"]
    from jsonschema import Draft202012Validator

    return [_line(error) for error in Draft202012Validator(schema).iter_errors(manifest)]


def _line(error: Any) -> str:
    return f"{'.'.join(str(part) for part in error.path) or 'it'}: {error.message}"


@cache
def _operator_schemas() -> dict[str, Any]:
    """Kind to JSON schema, from the definitions that ship with the operator."""
    folder = _installed("dask_kubernetes") / OPERATOR_SCHEMAS
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # seven times as fast, where it is
    schemas = {}
    for file in sorted(folder.glob("*.yaml")):
        definition = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)["spec"]
        (version,) = definition["versions"]
        schemas[definition["names"]["kind"]] = _whole(version["schema"]["openAPIV3Schema"])
    return schemas


def _whole(schema: Manifest) -> Any:
    """The schema of a whole object: what Kubernetes adds to each, and nothing unknown."""
    whole = deepcopy(schema)
    text = {"type": "string"}
    texts = {"type": "object", "additionalProperties": text}
    whole["properties"] |= {
        "apiVersion": text,
        "kind": text,
        "metadata": {
            "type": "object",
            "properties": {
                "name": text,
                "namespace": text,
                "labels": texts,
                "annotations": texts,
            },
            "required": ["name"],
        },
    }
    whole["required"] = [*whole.get("required", []), "metadata"]
    return _closed(whole)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _installed(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(
            f"Checking manifests needs the package {package}: pip install 'recbench[k8s]'"
        )
    return Path(found.submodule_search_locations[0])
