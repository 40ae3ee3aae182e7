"""One policy answers Dask's adaptive and the operator's polling; pinned workers are withheld."""

import json
import threading
import time
import urllib.request

import dask
import pytest
from distributed import Client, LocalCluster

from recbench.cluster.adaptive import ScalingPlugin
from recbench.cluster.scaling import ScalingPolicy
from recbench.cluster.tariff import TariffFile

GATE = threading.Event()  # of tasks, whose workers are threads of this process
API = "distributed.http.scheduler.api"


@pytest.fixture(scope="module")
def cluster():
    """Two workers in threads, and a scheduler that answers the operator's question."""
    with (
        dask.config.set({"distributed.scheduler.http.routes": [API]}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as opened,
    ):
        yield opened


@pytest.fixture
def client(cluster):
    with Client(cluster) as opened:
        yield opened
        opened.unregister_scheduler_plugin("recbench-scaling")


@pytest.fixture
def held():
    """Tasks that run until the test lets them go."""
    GATE.clear()
    yield pass_gate
    GATE.set()


def pass_gate(_number):
    GATE.wait(30)


def wait_until_busy(cluster, n_workers, *, n_tasks=1):
    scheduler = cluster.scheduler
    while (
        len(scheduler.tasks) < n_tasks
        or sum(bool(worker.processing) for worker in scheduler.workers.values()) < n_workers
    ):
        time.sleep(0.01)


def asked_by_adaptive(client):
    return client.sync(client.scheduler.adaptive_target)


def asked_by_operator(cluster):
    port = cluster.scheduler.http_server.port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/adaptive_target") as answer:
        return json.load(answer)["workers"]


def test_the_same_policy_answers_both(cluster, client):
    client.register_plugin(ScalingPlugin(lambda state: 40 + state.n_ready))
    assert asked_by_adaptive(client) == 42
    assert asked_by_operator(cluster) == 42


def test_a_deadline_that_two_workers_cannot_keep_asks_for_more(cluster, client, held):
    policy = ScalingPolicy(minimum=1, maximum=64, deadline_s=900.0)
    client.register_plugin(ScalingPlugin(policy.target))
    assert asked_by_adaptive(client) <= 2
    with dask.config.set({"distributed.scheduler.default-task-durations": {"long": "10 m"}}):
        futures = [client.submit(held, n, key=f"long-{n}") for n in range(6)]
        wait_until_busy(cluster, 2, n_tasks=6)
        # less the margin, 900 s leave no room for two tasks of 600 s on a worker: six workers
        assert asked_by_operator(cluster) == 6
    GATE.set()
    client.gather(futures)


def test_what_a_tariff_says_of_power_limits_the_live_answer(cluster, client, held, tmp_path):
    """35 W are ten workers of 3.5 W, for a load that asks for twenty."""
    tariff = tmp_path / "tariff.csv"
    tariff.write_text("from,price,power_w\n00:00,0.1,35\n")
    policy = ScalingPolicy(minimum=1, maximum=64)
    client.register_plugin(ScalingPlugin(policy.target, hours=TariffFile(tariff)))
    with dask.config.set({"distributed.scheduler.default-task-durations": {"dear": "10 m"}}):
        futures = [client.submit(held, n, key=f"dear-{n}") for n in range(20)]
        wait_until_busy(cluster, 2, n_tasks=20)
        assert asked_by_operator(cluster) == 10
        tariff.write_text("from,price\n00:00,0.1\n")
        assert asked_by_adaptive(client) == 20
    GATE.set()
    client.gather(futures)


def test_workers_with_ranks_or_notebooks_are_not_taken(cluster, client, held):
    client.register_plugin(ScalingPlugin())
    future = client.submit(held, 0, key="ddp-1-rank-0")
    wait_until_busy(cluster, 1)
    (busy,) = [each.address for each in cluster.scheduler.workers.values() if each.processing]
    taken = client.sync(client.scheduler.workers_to_close, n=2)
    GATE.set()
    future.result()
    assert len(taken) == 1
    assert busy not in taken
