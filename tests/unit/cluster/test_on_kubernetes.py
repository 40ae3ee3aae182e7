"""What Dask's operator is asked for; a cluster of threads stands in for its pods."""

import pytest
from distributed import LocalCluster

from recbench.cluster.open import open_cluster

operator = pytest.importorskip("dask_kubernetes.operator", reason="the extra k8s is not installed")


class StandIn(LocalCluster):
    """Threads of this process in place of pods; remembers what it was asked for."""

    asked = None

    def __init__(self, **options):
        StandIn.asked = options
        super().__init__(
            n_workers=1, processes=False, protocol="tcp://", dashboard_address="127.0.0.1:0"
        )

    def adapt(self, **limits):
        StandIn.asked |= limits


@pytest.fixture(autouse=True)
def configured(monkeypatch, tmp_path):
    (tmp_path / "config").touch()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(operator, "KubeCluster", StandIn)


def test_a_new_cluster_is_asked_for_by_the_specification_that_the_manifests_have():
    with open_cluster(
        "kubernetes", minimum=3, maximum=9, worker_memory_bytes=2**31, policy=lambda state: 7
    ) as client:
        assert client.submit(sum, [1, 2]).result() == 3
        assert client.sync(client.scheduler.adaptive_target) == 7
    asked = StandIn.asked
    worker = asked["custom_cluster_spec"]["spec"]["worker"]
    (container,) = worker["spec"]["containers"]
    assert asked["custom_cluster_spec"]["kind"] == "DaskCluster"
    assert worker["replicas"] == 3
    assert container["resources"]["limits"]["memory"] == "2048Mi"
    assert (asked["minimum"], asked["maximum"]) == (3, 9)
    assert asked["namespace"] == "recbench"
    assert asked["shutdown_on_close"]


def test_two_clusters_have_two_names():
    names = set()
    for _ in range(2):
        with open_cluster("kubernetes", minimum=1, maximum=1):
            names.add(StandIn.asked["custom_cluster_spec"]["metadata"]["name"])
    assert len(names) == 2
