"""``KubeCluster`` opens, scales and closes what we specify, with no more than the Role's rights."""

import asyncio
import time

import pytest
from distributed import Client

from recbench.cluster.kubernetes import KubernetesSettings, dask_cluster_spec
from recbench.cluster.kubernetes.access import rights_to_open_clusters
from recbench.cluster.kubernetes.dask import other_workers_spec
from recbench.loopback import free_port

SETTINGS = KubernetesSettings()
WATCHED_LAST = ("kubernetes.dask.org", "daskworkergroups", "list")  # while a cluster begins


@pytest.fixture
def api(serve_api):
    role = next(each for each in rights_to_open_clusters(SETTINGS) if each["kind"] == "Role")
    return serve_api(role["rules"], "recbench")


@pytest.fixture
def kube_cluster(api, start, monkeypatch):
    kubecluster = pytest.importorskip("dask_kubernetes.operator.kubecluster.kubecluster")
    port = free_port()
    start(
        "dask", "scheduler", "--host=127.0.0.1", f"--port={port}", "--dashboard-address=127.0.0.1:0"
    )

    async def address(*_, **__):  # of the service, whose name nobody could look up here
        deadline = time.monotonic() + 60
        while WATCHED_LAST not in api.asked and time.monotonic() < deadline:
            await asyncio.sleep(0.01)  # else it may be through before it has watched all there is
        return f"tcp://127.0.0.1:{port}"

    monkeypatch.setattr(kubecluster, "get_scheduler_address", address)
    with kubecluster.KubeCluster(
        custom_cluster_spec=dask_cluster_spec(SETTINGS), namespace="recbench", quiet=True
    ) as cluster:
        yield cluster


def test_a_cluster_is_opened_scaled_and_closed_with_the_rights_of_the_role(api, kube_cluster):
    assert list(api.of("daskclusters")) == ["recbench"]
    with Client(kube_cluster) as client:
        assert client.scheduler_info()["type"] == "Scheduler"
    kube_cluster.adapt(minimum=2, maximum=64)
    assert api.of("daskautoscalers")["recbench"]["spec"] == {
        "cluster": "recbench",
        "minimum": 2,
        "maximum": 64,
    }
    kube_cluster.scale(5)
    assert api.of("daskautoscalers") == {}
    assert api.of("daskworkergroups")["recbench-default"]["spec"]["worker"]["replicas"] == 5
    gpu_workers = other_workers_spec(SETTINGS)["spec"]["worker"]
    kube_cluster.add_worker_group("gpu", custom_spec=gpu_workers)
    assert api.of("daskworkergroups")["recbench-gpu"]["spec"]["worker"] == gpu_workers
    kube_cluster.delete_worker_group("gpu")
    assert list(kube_cluster.get_logs()) == ["recbench-scheduler"]
    kube_cluster.close()
    assert api.of("daskclusters") == {}
    assert api.refused == []
    # and the Role grants nothing that was not needed
    granted = {
        (group, resource, verb)
        for rule in api.rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == api.asked
