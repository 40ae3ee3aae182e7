"""The schemas catch what people really get wrong; nothing is asked of a cluster."""

import copy

import pytest

from recbench.cluster.kubernetes import KubernetesSettings, schemas
from recbench.cluster.kubernetes.dask import autoscaler_spec, dask_cluster_spec, other_workers_spec
from recbench.cluster.kubernetes.files import manifests
from recbench.cluster.kubernetes.schemas import problems
from recbench.errors import InputError

MANIFESTS = [each for objects in manifests(KubernetesSettings()).values() for each in objects]
WORKER = "spec worker spec containers 0"


def of_kind(kind):
    return copy.deepcopy(next(each for each in MANIFESTS if each["kind"] == kind))


def changed(manifest, path, value):
    """A copy with one value replaced; None takes the field away."""
    copied = copy.deepcopy(manifest)
    *way, last = [int(part) if part.isdigit() else part for part in path.split()]
    place = copied
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copied


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda m: f"{m['kind']}-{m['metadata']['name']}"
)
@pytest.mark.parametrize("version", ["1.29", "1.35"])
def test_every_manifest_is_valid(manifest, version):
    assert problems(manifest, version=version) == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "says"),
    [
        ("DaskCluster", "spec worker replica", 2, "'replica' was unexpected"),
        ("DaskCluster", "spec worker replicas", "two", "spec.worker.replicas: 'two' is not"),
        ("DaskCluster", "spec scheduler", None, "'scheduler' is a required property"),
        ("DaskCluster", "metadata name", None, "'name' is a required property"),
        ("DaskCluster", f"{WORKER} resources limits cpu", 4, "cpu: 4 is not of type 'string'"),
        ("DaskCluster", f"{WORKER} envs", [], "'envs' was unexpected"),
        ("DaskCluster", "spec scheduler service ports 0 targetPort", 8786, "8786 is not of type"),
        ("DaskWorkerGroup", "spec cluster", None, "'cluster' is a required property"),
        (
            "DaskWorkerGroup",
            f"{WORKER} resources limits nvidia.com/gpu",
            1,
            "nvidia.com/gpu: 1 is not of type 'string'",
        ),
        ("DaskAutoscaler", "spec maximum", "64", "spec.maximum: '64' is not of type 'integer'"),
        ("DaskAutoscaler", "spec max", 64, "'max' was unexpected"),
        ("CronJob", "spec concurrency", "Forbid", "'concurrency' was unexpected"),
        ("CronJob", "spec schedule", None, "'schedule' is a required property"),
        ("Deployment", "spec template spec containers 0 args", "--port=1", "is not of type"),
        ("Deployment", "spec template spec container", [], "'container' was unexpected"),
        ("NetworkPolicy", "spec podSelector matchLabel", {}, "'matchLabel' was unexpected"),
        ("Service", "spec ports 0 port", "http", "'http' is not of type 'integer'"),
    ],
)
def test_a_broken_manifest_is_refused(kind, path, value, says):
    found = problems(changed(of_kind(kind), path, value))
    assert any(says in line for line in found), found
    assert all(line.startswith(f"{kind} ") for line in found)


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "Deploymint", "apiVersion": "apps/v1", "metadata": {"name": "x"}},
        {"apiVersion": "apps/v1", "metadata": {"name": "x"}},
        {"kind": "DaskCloud", "apiVersion": "kubernetes.dask.org/v1", "metadata": {"name": "x"}},
        {"kind": "CronJob", "apiVersion": "batch/v1beta1", "metadata": {"name": "x"}},
    ],
)
def test_what_is_no_known_object_is_refused(manifest):
    (line,) = problems(manifest)
    assert "it is no object that" in line


def test_the_operators_schemas_use_nothing_that_json_schema_knows_otherwise():
    """These words would have to be translated; today the three kinds that we use have none."""
    words = ("nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
    for kind in ("DaskCluster", "DaskWorkerGroup", "DaskAutoscaler"):
        text = str(schemas._operator_validators()[kind].schema)
        assert "'additionalProperties': False" in text
        assert not [word for word in words if word in text]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(schemas.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package kubernetes_validate: pip install"):
        problems({"apiVersion": "v1", "kind": "Event"}, version="1.30")


@pytest.mark.parametrize("scaled", ["cpu", "gpu"])
def test_either_kind_of_worker_may_be_the_one_that_is_scaled(scaled):
    settings = KubernetesSettings(scaled=scaled, wandb_secret="recbench-wandb")
    for make in (dask_cluster_spec, other_workers_spec, autoscaler_spec):
        assert problems(make(settings)) == []
