"""Inside a scheduler: our policy answers the operator, and only idle default workers are given."""

import asyncio
import time

import pytest
from distributed import Client, Scheduler, Worker

from recbench.cluster.kubernetes import KubernetesSettings, dask_cluster_spec, preload
from recbench.cluster.kubernetes.dask import LIMITS_VARIABLE, SCHEDULER_PRELOAD
from recbench.cluster.tariff import TARIFF_VARIABLE

DEFAULT = ("recbench-default-worker-1", "recbench-default-worker-2")
NAMES = ("recbench-gpu-worker-1", *DEFAULT)


async def _to_close(n, *, busy_key=None):
    """Names of the workers that a scheduler gives away when asked for ``n`` of three."""
    async with (
        Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler,
        Client(scheduler.address, asynchronous=True) as client,
    ):
        await preload.dask_setup(scheduler)
        workers = [
            Worker(scheduler.address, name=name, nthreads=1, dashboard_address=None)
            for name in NAMES
        ]
        await asyncio.gather(*workers)
        try:
            if busy_key is not None:
                running = client.submit(time.sleep, 0.5, key=busy_key, workers=[DEFAULT[0]])
                while not any(state.processing for state in scheduler.workers.values()):
                    await asyncio.sleep(0.01)
            given = set(scheduler.workers_to_close(n=n, attribute="name"))
            if busy_key is not None:
                await running
            return given
        finally:
            await asyncio.gather(*(worker.close() for worker in workers))


def test_workers_of_another_group_are_never_given_away():
    assert asyncio.run(_to_close(3)) == set(DEFAULT)


def test_a_worker_that_runs_a_rank_is_not_given_away():
    assert asyncio.run(_to_close(3, busy_key="ddp-0")) == {DEFAULT[1]}


async def _wanted():
    """Workers wanted without any work: as the operator asks, and as a LocalCluster does."""
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        await preload.dask_setup(scheduler)
        return scheduler.adaptive_target(), scheduler.handlers["adaptive_target"]()


def test_our_policy_answers_within_the_limits_of_the_pod(monkeypatch):
    monkeypatch.setenv(LIMITS_VARIABLE, "3-7")
    assert asyncio.run(_wanted()) == (3, 3)


def test_without_limits_dasks_own_rule_answers(monkeypatch):
    monkeypatch.delenv(LIMITS_VARIABLE, raising=False)
    assert asyncio.run(_wanted()) == (0, 0)


@pytest.mark.parametrize(("rule", "said"), [("deadlines", "5-50"), ("dask", None)])
def test_the_pod_says_the_limits_where_our_policy_is_to_answer(rule, said):
    settings = KubernetesSettings(minimum=5, maximum=50, rule=rule)
    (container,) = dask_cluster_spec(settings)["spec"]["scheduler"]["spec"]["containers"]
    values = {each["name"]: each["value"] for each in container["env"]}
    assert values.get(LIMITS_VARIABLE) == said


def test_the_pod_reads_the_tariff_below_the_workspace(monkeypatch, tmp_path):
    spec = dask_cluster_spec(KubernetesSettings(tariff="tariff.csv"))["spec"]["scheduler"]["spec"]
    (container,) = spec["containers"]
    values = {each["name"]: each["value"] for each in container["env"]}
    assert values[TARIFF_VARIABLE] == "/workspace/tariff.csv"
    assert {"name": "workspace", "mountPath": "/workspace", "readOnly": True} in container[
        "volumeMounts"
    ]
    (tmp_path / "tariff.csv").write_text("from,price\n00:00,0.1\n")
    monkeypatch.setenv(TARIFF_VARIABLE, str(tmp_path / "tariff.csv"))
    assert preload._hours()()[0].price == 0.1


def test_the_scheduler_is_told_to_load_it():
    assert preload.__name__ == SCHEDULER_PRELOAD
