"""What the operator's and Kubernetes' own schemas have against a manifest; needs no cluster."""

import importlib.util
import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from recbench.cluster.kubernetes.pods import Manifest
from recbench.errors import InputError

__all__ = ["KUBERNETES_VERSION", "problems"]

KUBERNETES_VERSION = "1.35"  # the newest that the operator's Python side supports
OPERATOR_GROUP = "kubernetes.dask.org/"
OPERATOR_SCHEMAS = "operator/deployment/helm/dask-kubernetes-operator/crds"


def problems(manifest: Manifest, *, version: str = KUBERNETES_VERSION) -> list[str]:
    """What is wrong with ``manifest``, a line each: where, and what; none: it is valid.

    A field that the schema does not know counts, though Kubernetes would only drop it.

    Args:
        manifest: one object.
        version: of Kubernetes, such as ``"1.35"``.

    Raises:
        InputError: a package that holds schemas is not installed.
    """
    kind, api = str(manifest.get("kind", "")), str(manifest.get("apiVersion", ""))
    if api.startswith(OPERATOR_GROUP):
        validator, whose = _operator_validators().get(kind), "Dask's operator"
    else:
        validator, whose = _kubernetes_validator(kind, api, version), f"Kubernetes {version}"
    if validator is None:
        found = [f"it is no object that {whose} knows"]
    else:
        found = [_line(error) for error in validator.iter_errors(manifest)]
    name = manifest.get("metadata", {}).get("name", "")
    return [f"{kind or 'No kind'} {name or 'without a name'}: {line}" for line in found]


def _line(error: Any) -> str:
    return f"{'.'.join(str(part) for part in error.path) or 'it'}: {error.message}"


@cache
def _kubernetes_validator(kind: str, api: str, version: str) -> Any:
    """For one kind of object; None where this version of Kubernetes has no such kind."""
    from jsonschema import Draft202012Validator

    *group, of = api.split("/")
    # a NetworkPolicy of networking.k8s.io/v1 is in networkpolicy-networking-v1.json
    name = "-".join([kind.lower(), *(each.partition(".")[0] for each in group), of]) + ".json"
    file = _kubernetes_folder(version) / name
    if not kind or not file.is_file():
        return None
    schema = json.loads(file.read_text(encoding="utf-8"))
    return Draft202012Validator(schema, registry=_kubernetes_definitions(version))


@cache
def _kubernetes_definitions(version: str) -> Any:
    from referencing import Registry, Resource

    text = (_kubernetes_folder(version) / "_definitions.json").read_text(encoding="utf-8")
    return Resource.from_contents(json.loads(text)) @ Registry()


def _kubernetes_folder(version: str) -> Path:
    schemas = _installed("kubernetes_validate") / "kubernetes-json-schema"
    return schemas / f"v{version}.0-local-strict"


@cache
def _operator_validators() -> dict[str, Any]:
    """By kind, from the definitions that ship with the operator."""
    folder = _installed("dask_kubernetes") / OPERATOR_SCHEMAS
    import yaml
    from jsonschema import Draft202012Validator

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # seven times as fast, where it is
    validators = {}
    for file in sorted(folder.glob("*.yaml")):
        definition = yaml.load(file.read_text(encoding="utf-8"), Loader=loader)["spec"]
        (version,) = definition["versions"]
        schema = _whole(version["schema"]["openAPIV3Schema"])
        validators[definition["names"]["kind"]] = Draft202012Validator(schema)
    return validators


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
