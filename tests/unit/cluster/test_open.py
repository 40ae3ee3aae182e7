"""A cluster by its name: the same client, whatever is behind it."""

import importlib.util
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from distributed import Event, LocalCluster, Security
from distributed.process import AsyncProcess

from recbench.cluster.open import open_cluster
from recbench.errors import InputError


@pytest.fixture(scope="module")
def local():
    """A client of two workers."""
    with open_cluster("local", minimum=2, maximum=2) as client:
        yield client


def test_local_workers_are_processes_on_loopback(local):
    workers = local.scheduler_info()["workers"]
    assert len(workers) == 2
    assert all(address.startswith("tcp://127.0.0.1:") for address in workers)
    assert [worker["nthreads"] for worker in workers.values()] == [1, 1]
    assert local.submit(sum, [1, 2]).result() == 3


def test_an_address_gives_a_client_of_the_same_workers(local):
    with open_cluster(local.scheduler.address) as same:
        assert same.submit(sum, [3, 4]).result() == 7
    assert local.submit(sum, [1, 3]).result() == 4  # whoever only joined ends nothing


def test_a_silent_worker_is_given_up_after_15_seconds(local):
    def ttl(dask_scheduler):
        return dask_scheduler.worker_ttl

    assert local.run_on_scheduler(ttl) == 15


def test_processes_and_spilled_files_go_with_the_block():
    before = set(psutil.Process().children(recursive=True))
    with open_cluster("local", minimum=1, maximum=1, worker_memory_bytes=300 * 2**20) as client:
        (worker,) = client.scheduler_info()["workers"].values()
        folder = Path(worker["local_directory"])
        assert worker["memory_limit"] == 300 * 2**20
        assert folder.exists()
    assert not folder.exists()
    assert not folder.parent.exists()
    assert set(psutil.Process().children(recursive=True)) <= before | _trackers()


def _trackers():
    """Multiprocessing's own helper, which lives as long as the interpreter."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found |= {child} if "resource_tracker" in " ".join(child.cmdline()) else set()
    return found


def test_a_worker_that_has_not_gone_when_it_was_killed_is_waited_for(monkeypatch):
    def impatient(process, timeout=None, join=AsyncProcess.join):
        return join(process, None if timeout is None else 0.0)

    with open_cluster("local", minimum=1, maximum=1) as client:
        (pid,) = client.run(os.getpid).values()
        monkeypatch.setattr(AsyncProcess, "join", impatient)
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
def test_a_policy_decides_how_many_workers_there_are():
    def policy(state):
        return 2 if state.work else 1

    with open_cluster("local", minimum=1, maximum=2, policy=policy) as client:
        over = Event("over", client=client)
        futures = [client.submit(over.wait, 120, pure=False) for _ in range(3)]
        client.wait_for_workers(2, timeout=120)
        over.set()
        assert all(client.gather(futures))
        deadline = time.monotonic() + 120
        while len(client.scheduler_info()["workers"]) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("where", "options", "message"),
    [
        ("clowd", {}, "There is no cluster 'clowd'"),
        ("local", {"minimum": 3, "maximum": 2}, "got 3 and 2"),
        ("local", {"minimum": 0}, "got 0 and 64"),
        ("local", {"security": object()}, "is for a scheduler's address, got 'local'"),
        ("tcp://127.0.0.1:1", {"policy": lambda load: 1}, "`tcp://127.0.0.1:1` is scaled"),
        ("tcp://127.0.0.1:1", {"worker_memory_bytes": 1}, "`tcp://127.0.0.1:1` is scaled"),
    ],
)
def test_what_cannot_be_opened_is_refused(where, options, message):
    with pytest.raises(InputError, match=message), open_cluster(where, **options):
        pass


def test_a_scheduler_that_wants_certificates_is_joined_with_them():
    pytest.importorskip("cryptography", reason="makes the certificates of this test")
    security = Security.temporary()
    with LocalCluster(
        n_workers=1, processes=False, security=security, dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://")
        with open_cluster(address, security=security) as client:
            assert client.submit(sum, [1, 2]).result() == 3
        without = f"No scheduler answers at `{address}`: TLS expects"
        with pytest.raises(InputError, match=without), open_cluster(address):
            pass


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr("recbench.cluster.open.CONNECT_TIMEOUT_S", 0.2)
    with (
        pytest.raises(InputError, match="No scheduler answers at `tcp://127.0.0.1:1`"),
        open_cluster("tcp://127.0.0.1:1"),
    ):
        pass


def test_kubernetes_without_a_configuration_says_where_it_was_looked_for(monkeypatch, tmp_path):
    pytest.importorskip("dask_kubernetes")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with (
        pytest.raises(InputError, match=r"there is none at .*none or /var/run.*Set KUBECONFIG"),
        open_cluster("kubernetes"),
    ):
        pass


@pytest.mark.skipif(
    importlib.util.find_spec("dask_cuda") is not None, reason="dask_cuda is installed"
)
def test_cuda_without_dask_cuda_says_what_to_install():
    with (
        pytest.raises(InputError, match=r"needs the package dask_cuda: install .*gpu.txt"),
        open_cluster("cuda"),
    ):
        pass
