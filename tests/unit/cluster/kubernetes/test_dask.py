"""The commands of the Dask pods really run, and give the operator what it asks for."""

import json
import time
import urllib.error
import urllib.request

import dask
import distributed  # noqa: F401  # brings its defaults into dask.config
import pytest

from recbench.cluster.kubernetes import KubernetesSettings, dask_cluster_spec
from recbench.cluster.kubernetes.dask import GPU, autoscaler_spec, other_workers_spec
from recbench.loopback import free_port

PATIENCE_S = 60
NAME = "recbench-default-worker-0123456789"


def container_of(part):
    (container,) = part["spec"]["containers"]
    return container


@pytest.fixture
def scheduler():
    return container_of(dask_cluster_spec(KubernetesSettings())["spec"]["scheduler"])


@pytest.fixture
def worker():
    return container_of(dask_cluster_spec(KubernetesSettings())["spec"]["worker"])


def environment(container):
    return {each["name"]: each["value"] for each in container["env"]}


def answer(port, path, *, of):
    deadline = time.monotonic() + PATIENCE_S
    while of.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return response.read()
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    raise AssertionError(f"It has ended with {of.returncode}; see its log")


def test_scheduler_and_worker_start_as_the_pods_start_them(scheduler, worker, start, tmp_path):
    port, http = free_port(), free_port()
    process = start(
        *(arg.replace("0.0.0.0", "127.0.0.1") for arg in scheduler["args"]),
        f"--port={port}",
        f"--dashboard-address=127.0.0.1:{http}",
        **environment(scheduler),
    )
    replaced = {
        "$(DASK_WORKER_NAME)": NAME,
        "/tmp/dask": str(tmp_path / "dask"),
        "=:8788": "=127.0.0.1:0",
    }
    args = worker["args"]
    for before, after in replaced.items():
        args = [arg.replace(before, after) for arg in args]
    address = {"DASK_SCHEDULER_ADDRESS": f"tcp://127.0.0.1:{port}"}
    start(*args, "--host=127.0.0.1", **environment(worker), **address)

    assert answer(http, "/health", of=process) == b"ok"
    # what the operator polls, by a route that is not among Dask's own: our policy's minimum
    assert json.loads(answer(http, "/api/v1/adaptive_target", of=process)) == {"workers": 2}
    deadline = time.monotonic() + PATIENCE_S
    while not (found := json.loads(answer(http, "/api/v1/get_workers", of=process))["workers"]):
        assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
        time.sleep(0.1)
    assert [each["name"] for each in found] == [NAME]


def test_the_environment_means_to_dask_what_it_says(scheduler):
    config = dask.config.collect_env(environment(scheduler))
    with dask.config.set(config):
        assert dask.config.get("distributed.scheduler.worker-ttl") == "15s"
        routes = dask.config.get("distributed.scheduler.http.routes")
    own = set(dask.config.get("distributed.scheduler.http.routes"))
    own.discard("distributed.http.scheduler.missing_bokeh")  # a scheduler without it adds this
    assert set(routes) - own == {"distributed.http.scheduler.api"}
    assert own <= set(routes)


def test_the_autoscaler_keeps_to_the_limits_and_to_the_name_of_the_cluster():
    settings = KubernetesSettings(name="mine", minimum=3, maximum=9)
    cluster, scaler = dask_cluster_spec(settings), autoscaler_spec(settings)
    assert cluster["spec"]["worker"]["replicas"] == 3
    assert scaler["spec"] == {"cluster": "mine", "minimum": 3, "maximum": 9}
    # `KubeCluster.scale` deletes the autoscaler by the cluster's name
    assert scaler["metadata"]["name"] == cluster["metadata"]["name"] == "mine"


@pytest.mark.parametrize("scaled", ["cpu", "gpu"])
def test_a_gpu_worker_has_one_gpu_and_goes_where_gpus_are(scaled):
    settings = KubernetesSettings(scaled=scaled, gpu_worker_cpu="6", other_workers=5)
    groups = {
        scaled: dask_cluster_spec(settings)["spec"]["worker"],
        {"cpu": "gpu", "gpu": "cpu"}[scaled]: other_workers_spec(settings)["spec"]["worker"],
    }
    assert [groups[scaled]["replicas"], *(g["replicas"] for g in groups.values())] == [2, 2, 5]
    gpu, cpu = container_of(groups["gpu"]), container_of(groups["cpu"])
    for amounts in gpu["resources"].values():
        assert amounts[GPU] == "1"
        assert GPU not in cpu["resources"]["limits"]
    assert groups["gpu"]["spec"]["tolerations"][0]["key"] == GPU
    assert "tolerations" not in groups["cpu"]["spec"]
    assert gpu["image"].startswith("recbench-gpu:")
    assert gpu["args"][:3] == ["dask", "cuda", "worker"]
    assert environment(gpu)["OMP_NUM_THREADS"] == "6"


def test_libraries_may_use_all_cores_though_dask_would_hold_them_to_one(worker):
    held = dask.config.get("distributed.nanny.pre-spawn-environ")
    threads = {name for name in held if name.endswith("_NUM_THREADS")}
    assert {environment(worker)[name] for name in threads} == {"4"}


def test_a_worker_of_less_than_a_core_has_one_thread():
    settings = KubernetesSettings(worker_cpu="1500m")
    worker = container_of(dask_cluster_spec(settings)["spec"]["worker"])
    assert environment(worker)["OMP_NUM_THREADS"] == "1"


def test_dask_cuda_has_the_options_that_gpu_workers_are_given():
    """Its command takes unknown options without a word, so a typo would pass at the start."""
    cli = pytest.importorskip("dask_cuda.cli", reason="dask_cuda is only in the gpu environment")
    known = {option for parameter in cli.worker.params for option in parameter.opts}
    worker = container_of(other_workers_spec(KubernetesSettings())["spec"]["worker"])
    assert {arg.partition("=")[0] for arg in worker["args"][3:]} <= known


def test_the_spec_of_a_cluster_is_what_kube_cluster_reads_of_it():
    """``KubeCluster`` looks for these by name when it connects to a cluster that exists."""
    spec = dask_cluster_spec(KubernetesSettings())["spec"]
    assert "--jupyter" not in container_of(spec["scheduler"])["args"]
    assert {port["name"] for port in spec["scheduler"]["service"]["ports"]} == {
        "tcp-comm",
        "http-dashboard",
    }
    names = {port["name"] for port in container_of(spec["scheduler"])["ports"]}
    assert {port["targetPort"] for port in spec["scheduler"]["service"]["ports"]} == names
